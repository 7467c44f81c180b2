"""Write people as rows, directly and in large transactions; their vectors are random numbers.

The tables and the sealing are those of the program, so that the service reads these rows like others. Each person has a
name, two tokens, one consent with its event, one template and five comparisons. Each of these has its entry or receipt.
All receipts have the same content, and the tree has none of their leaves.
"""

import json
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from sqlalchemy import insert, select

from app.comparisons import history
from app.comparisons.policy import Decision, Liveness
from app.comparisons.tables import Comparison
from app.consent import receipts as receipting
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import ConsentEventRow, Grant, Notice
from app.db.types import Row
from app.faces import vectors
from app.faces.cards.select import select_card
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.settings import Settings
from app.subjects.service import ACCESS_PREFIX, RECOVERY_PREFIX
from app.subjects.tables import Subject, Token, TokenKind
from app.templates import engine_history
from app.templates.tables import Template
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.transparency.receipts import issue as issuing
from app.transparency.tables import EntryRow, ReceiptRow
from app.vault.kek_file import KekFile
from app.vault.open import KEK_FILE
from app.vault.register import Owner
from app.vault.seal import Key
from app.vault.sealing_context import sealing_context
from app.vault.tables import KeySlot
from app.vault.vault import Vault
from app.web.callers import new_token, token_digest

AT_ONCE: Final = 2_000
"""People in one transaction."""
COMPARISONS: Final = 5


@dataclass(frozen=True, slots=True)
class Person:
    """The credentials of a person."""

    token: str
    consent_id: UUID


@dataclass(slots=True)
class Batch:
    """Rows by their table, and their keys, which are written first."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[type[Row], list[dict[str, Any]]] = field(default_factory=dict)

    def add(self, table: type[Row], **columns: object) -> None:
        """Add one row."""
        self.rows.setdefault(table, []).append(columns)


class Filler:
    """Writes people into one pair of databases."""

    def __init__(self, vault: Vault, settings: Settings, party_id: str) -> None:
        self._vault = vault
        self._kek = KekFile(settings.register_dir / KEK_FILE).read()[0]
        self._party_id = UUID(party_id)
        self._card = select_card(settings)
        # The database takes templates of the engine in force only.
        engine_history.put_in_force(vault, self._card, days=settings.superseded_template_days, now=utc_now())
        self._random = random.Random(1)
        with vault.data.read() as session:
            asked = select(Notice.sha256).where(Notice.purpose == Purpose.VERIFICATION)
            self._notice = session.scalars(asked).one()
            event = ConsentEvent(
                consent_id=uuid4(),
                state=EventState.GIVEN,
                event_time=utc_now(),
                purpose=Purpose.VERIFICATION,
                relying_party_id=self._party_id,
                notice_sha256=self._notice,
                valid_until=utc_now() + timedelta(days=365),
            )
            said = receipting.build_content(session, settings, event)
        self._receipt = issuing.sign_receipt(vault, said, settings=settings, now=utc_now()).to_json()

    def add(self, count: int) -> list[Person]:
        """Write *count* people."""
        people: list[Person] = []
        while len(people) < count:
            batch = Batch()
            people += [self._person(batch) for _ in range(min(AT_ONCE, count - len(people)))]
            self._write(batch)
        return people

    def _write(self, batch: Batch) -> None:
        with self._vault.register.store.write() as session:
            session.execute(insert(KeySlot), batch.keys)
        with self._vault.data.write() as session:
            for table in (Subject, Token, Grant, EntryRow, ReceiptRow, Template, ConsentEventRow, Comparison):
                session.execute(insert(table), batch.rows[table])

    def _person(self, batch: Batch) -> Person:
        now, subject_id, grant_id = utc_now(), uuid4(), uuid4()
        key = self._key(batch, Owner.subject(subject_id))
        batch.add(
            Subject,
            id=subject_id,
            registered_on=now.date(),
            sealed_name=key.seal(b"Ada Example", sealing_context(Subject.sealed_name, subject_id)),
            erasing=False,
        )
        tokens = {TokenKind.ACCESS: new_token(ACCESS_PREFIX), TokenKind.RECOVERY: new_token(RECOVERY_PREFIX)}
        for kind, token in tokens.items():
            day = now.date()
            batch.add(Token, id=uuid4(), subject_id=subject_id, kind=kind, digest=token_digest(token), created_on=day)
        self._consent(batch, key, subject_id, grant_id, now)
        self._template(batch, key, subject_id, grant_id, now)
        self._history(batch, key, subject_id, now)
        return Person(tokens[TokenKind.ACCESS], grant_id)

    def _key(self, batch: Batch, owner: Owner) -> Key:
        wrapped = self._kek.wrap_new(owner.context(1))
        batch.keys.append({"owner": owner.digest, "generation": 1, "kek_id": self._kek.id, "wrapped": wrapped})
        return self._kek.unwrap(wrapped, owner.context(1))

    def _consent(self, batch: Batch, key: Key, subject_id: UUID, grant_id: UUID, now: datetime) -> None:
        asked = {"purpose": Purpose.VERIFICATION, "relying_party_id": self._party_id, "notice_sha256": self._notice}
        ends = now + timedelta(days=365)
        reference = new_token("")
        batch.add(Grant, id=grant_id, subject_id=subject_id, subject_ref=reference, valid_until=ends, **asked)
        # As `app.consent.events` writes an event; its own function would ask the database for each.
        event = {"consent_id": grant_id, "state": EventState.GIVEN, "event_time": now.isoformat(), **asked}
        plain = json.dumps({**event, "valid_until": ends.isoformat()}, default=str).encode()
        row_id = uuid4()
        sealed = key.seal(plain, sealing_context(ConsentEventRow.sealed, row_id))
        batch.add(ConsentEventRow, id=row_id, subject_id=subject_id, position=1, sealed=sealed)
        receipt = key.seal(self._receipt, sealing_context(ReceiptRow.sealed, row_id))
        batch.add(ReceiptRow, id=row_id, subject_id=subject_id, position=1, sealed=receipt)

    def _template(self, batch: Batch, own: Key, subject_id: UUID, grant_id: UUID, now: datetime) -> None:
        template_id, enrolment_id = uuid4(), uuid4()
        entry = entries.make_entry(LoggedAct.ENROLMENT, enrolment_id=str(enrolment_id), at=now.isoformat())
        logged = entries.seal_entry(own, enrolment_id, entry)
        batch.add(EntryRow, id=enrolment_id, subject_id=subject_id, position=1, sealed=logged)
        key = self._key(batch, Owner.grant(grant_id))
        vector = tuple(self._random.gauss(0, 0.1) for _ in range(self._card.dimensions))
        batch.add(
            Template,
            id=template_id,
            grant_id=grant_id,
            subject_id=subject_id,
            purpose=Purpose.VERIFICATION,
            relying_party_id=self._party_id,
            enrolment_id=enrolment_id,
            entry_id=enrolment_id,
            enrolled_on=now.date(),
            engine_id=self._card.id,
            weights_sha256=self._card.weights_sha256,
            key_generation=1,
            sealed=key.seal(
                vectors.pack(vector, weights_sha256=self._card.weights_sha256),
                sealing_context(Template.sealed, template_id),
            ),
        )

    def _history(self, batch: Batch, key: Key, subject_id: UUID, now: datetime) -> None:
        line = history.ComparisonRecord(
            at=now,
            relying_party_id=self._party_id,
            purpose=Purpose.VERIFICATION,
            decision=Decision.MATCH,
            target_fmr=1e-3,
            liveness=Liveness.NOT_CHECKED,
        )
        for position in range(1, COMPARISONS + 1):
            row_id = uuid4()
            sealed = history.COMPARISONS.seal(key, row_id, line)
            logged = entries.seal_entry(key, row_id, history.log_entry(row_id, line))
            # The first entry is that of the enrolment.
            batch.add(EntryRow, id=row_id, subject_id=subject_id, position=position + 1, sealed=logged)
            batch.add(Comparison, id=row_id, subject_id=subject_id, position=position, sealed=sealed)
