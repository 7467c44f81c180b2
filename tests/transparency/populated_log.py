"""A transparency log of many people, two relying parties and many batches, in real stores.

The service's own functions make it. Only the engine is replaced: the image of a face is its number.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

from app.consent import service as consent
from app.consent.service import ConsentRequest
from app.enrolment import service as enrolment
from app.faces.flaws import Flaw
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.workers.messages import Measurement
from app.parties import keys
from app.parties import service as parties
from app.subjects import service as subjects
from app.templates import engine_history
from app.transparency.log import batch
from app.vault.vault import Vault
from app.verification.service import VerificationRequest, verify
from app.web.callers import Principal, token_digest
from tests.consent.drafts import facts_of
from tests.support.byte_scan import rows
from tests.support.service_fixture import ToyPool
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.transparency.adversary import DoorRecord, PublicLog
from tests.transparency.joined_leaves import SETTINGS, START, TURN, read_leaves
from tests.transparency.pending_leaves import open_all_entries

DIMENSIONS = 128


class NumberPool(ToyPool):
    """Measures the face whose number is the image."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        return [Measurement(tuple(float(at == image[0]) for at in range(DIMENSIONS)), {}) for image in images]


@dataclass
class Door:
    """A relying party with the references of its people."""

    id: UUID
    key_id: UUID
    references: list[str] = field(default_factory=list)


@dataclass
class PopulatedLog:
    """The log of people who are verified at two doors, with the records of the first door."""

    vault: Vault
    people: int
    seed: int = 1

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)  # noqa: S311 - repeatable on purpose
        self._faces = RunningEngine(pool=NumberPool(), card=toy_card(), target_fmr=1e-3, threshold=0.54)
        self.now = START
        engine_history.put_in_force(self.vault, toy_card(), days=90, now=START)
        self._doors = [self._door(name) for name in ("Door", "Gate")]
        for face in range(self.people):
            self._enrol(face)
        batch.append_batch(self.vault, settings=SETTINGS, now=START)
        self._first = len(read_leaves(self.vault))
        self._asked: list[tuple[int, UUID, dict[str, Any]]] = []
        self.turns = 0

    def _door(self, name: str) -> Door:
        with self.vault.data.write() as session:
            party, key = parties.add(
                session, name=name, contact="-", purposes=[Purpose.VERIFICATION], alternative="-", now=self.now
            )
        found = keys.authenticate(self.vault.data, token_digest(key), clock=lambda: self.now)
        assert found is not None
        return Door(party.relying_party_id, found.token_id)

    def _enrol(self, face: int) -> None:
        given = subjects.register(self.vault, display_name=None, now=self.now)
        me = subjects.authenticate(self.vault.data, token_digest(given.access_token))
        assert me is not None
        (notice,) = rows(in_file(self.vault.data).path, "SELECT sha256 FROM notices WHERE purpose = 'verification'")[0]
        grants = [self._consent(me, door, notice) for door in self._doors]
        enrolment.enrol(
            self.vault,
            self._faces,
            by=me,
            consent_ids=grants,
            photos=[bytes([face])],
            keep_photos=False,
            clock=lambda: self.now,
        )

    def _consent(self, me: Principal, door: Door, notice: str) -> UUID:
        request = ConsentRequest(purpose=Purpose.VERIFICATION, relying_party_id=door.id, notice_sha256=notice)
        given = consent.give(
            self.vault,
            by=me,
            request=request,
            facts=facts_of(),
            chosen_end=None,
            settings=SETTINGS,
            now=self.now,
        )
        door.references.append(str(given.grant.subject_ref))
        return given.grant.id

    def run(self, turns: int, *, visits: int) -> None:
        """Verify people at the first door, *visits* times before each batch, and sometimes at the other."""
        for _ in range(turns):
            self.turns += 1
            began = START + self.turns * TURN
            moments = sorted(self._chance.random() for _ in range(visits))
            for order, within in enumerate(moments):
                self.now = began + within * TURN
                face = self._chance.randrange(self.people)
                noted = {"turn": self.turns, "order": order, "of": visits, "within": within, "at": self.now}
                self._asked.append((face, self._visit(self._doors[0], face), noted))
                if self._chance.random() < 1 / visits:
                    self._visit(self._doors[1], self._chance.randrange(self.people))
            batch.append_batch(self.vault, settings=SETTINGS, now=began + TURN + timedelta(seconds=1))

    def _visit(self, door: Door, face: int) -> UUID:
        probe = face if self._chance.random() < 0.9 else (face + 1) % self.people
        return verify(
            self.vault,
            self._faces,
            VerificationRequest(relying_party_id=door.id, key_id=door.key_id, subject_ref=door.references[face]),
            probe=bytes([probe]),
            settings=SETTINGS,
            clock=lambda: self.now,
        ).comparison_id

    def public(self) -> PublicLog:
        """Return the public data: the leaves between each two checkpoints."""
        leaves = read_leaves(self.vault)
        found = rows(in_file(self.vault.register.store).path, "SELECT size FROM log_heads ORDER BY size")
        sizes = [size for (size,) in found if size >= self._first]
        spans = dict(enumerate(pairwise(sizes), start=1))
        begins = {turn: begin for turn, (begin, _) in spans.items()}
        return PublicLog(begins, {turn: leaves[begin:end] for turn, (begin, end) in spans.items()})

    def door_records(self) -> dict[int, list[DoorRecord]]:
        """Return the first door's records of its requests, by face."""
        known = open_all_entries(self.vault)
        found: dict[int, list[DoorRecord]] = {face: [] for face in range(self.people)}
        for face, comparison_id, noted in self._asked:
            reference, record = self._doors[0].references[face], known[comparison_id][1]
            found[face].append(DoorRecord(subject_ref=reference, record=record, **noted))
        return found

    def own_leaves(self) -> dict[int, set[bytes]]:
        """Return the leaves of each face's comparisons, at either door, from the opened records."""
        known = open_all_entries(self.vault)
        people = dict(rows(in_file(self.vault.data).path, "SELECT id, subject_id FROM entries"))
        faces = {people[comparison_id.hex]: face for face, comparison_id, _ in self._asked}
        found: dict[int, set[bytes]] = {face: set() for face in range(self.people)}
        for entry_id, (leaf, _, _) in known.items():
            if (person := people[entry_id.hex]) in faces:
                found[faces[person]].add(leaf)
        return found
