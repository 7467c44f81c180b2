"""Two hundred races between a verification and an ending, in random order; the database itself keeps the score.

Triggers number each line, each ended grant and each person taken out of matching in the order in which they commit:
SQLite has one writer, so that their numbers are the order of the commits, whatever any clock or thread says.
"""

import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from sqlalchemy import select

from app.consent import service as consent
from app.consent.errors import NoSuchConsentError
from app.enrolment import service as enrolment
from app.faces.flaws import Flaw
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.parties.tables import PartyKey
from app.rights import erasure
from app.rights.tables import ErasureStatus
from app.subjects import service as subjects
from app.subjects.tables import Token, TokenKind
from app.vault.vault import Vault
from app.verification import service as verify
from app.web.auth import Principal, Role, UnauthenticatedError
from tests.comparisons.failures import unhindered
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

RACES = 200
AT_ONCE = 8
LONGEST_S = 0.012

SCORE = """
CREATE TABLE score (number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, subject TEXT, line TEXT);
CREATE TRIGGER scored_line AFTER INSERT ON comparisons
    BEGIN INSERT INTO score (what, subject, line) VALUES ('decided', NEW.subject_id, NEW.id); END;
CREATE TRIGGER scored_end AFTER DELETE ON grants
    BEGIN INSERT INTO score (what, subject) VALUES ('ended', OLD.subject_id); END;
CREATE TRIGGER scored_stop AFTER UPDATE OF spell_id, erasing ON subjects WHEN NEW.spell_id IS NULL OR NEW.erasing
    BEGIN INSERT INTO score (what, subject) VALUES ('ended', NEW.id); END;
"""


class DallyingPool(EnginePool):
    """Answers with one face's features after a random while: what races is the database, not the engine."""

    def __init__(self, features: Measurement, chance: random.Random) -> None:
        self._features, self._chance = features, chance

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Dally, and answer."""
        time.sleep(self._chance.uniform(0, LONGEST_S))
        return [self._features for _ in images]


@dataclass(frozen=True)
class Racer:
    """Somebody enrolled."""

    subject_id: UUID
    consent_id: UUID
    subject_ref: str


Ending = Callable[[Vault, Racer, RunningService], None]


def withdraws(vault: Vault, racer: Racer, service: RunningService) -> None:
    consent.withdraw(vault, subject_id=racer.subject_id, consent_id=racer.consent_id, clock=service.clock)


def is_erased(vault: Vault, racer: Racer, service: RunningService) -> None:
    erasure.erase(vault, subject_id=racer.subject_id, settings=service.settings, now=service.clock())


def restricts(vault: Vault, racer: Racer, service: RunningService) -> None:
    with vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE subjects SET spell_id = NULL WHERE id = ?", (racer.subject_id.hex,)
        )


ENDINGS: Sequence[Ending] = (withdraws, withdraws, withdraws, is_erased, restricts)


def keep_score(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(SCORE)


def test_in_no_race_is_there_a_decision_after_the_ending(service: RunningService) -> None:
    unhindered(service)
    chance = random.Random(20261123)  # noqa: S311 - repeatable on purpose
    photo, party, notice = toy_photo(1), service.party(), service.notice("verification")
    (features,) = service.pool.measure(Permit(grant_ids=(uuid4(),)), [photo])
    assert isinstance(features, Measurement)
    faces = RunningEngine(pool=DallyingPool(features, chance), card=toy_card(), target_fmr=1e-3, threshold=0.54)
    racers = [_enrolled(service, faces, party.id, notice, photo) for _ in range(RACES)]
    keep_score(service.vault.data.path)
    with service.vault.data.read() as session:
        key_id = session.scalars(select(PartyKey.id)).one()

    def race(racer: Racer) -> UUID | None:
        """Let one of the endings run against a verification; return the decision's line, if there was a decision."""
        lane = threading.Barrier(2)
        ending, late = chance.choice(ENDINGS), chance.uniform(0, LONGEST_S + 0.01)

        def end() -> None:
            lane.wait()
            time.sleep(late)
            ending(service.vault, racer, service)

        other = threading.Thread(target=end)
        other.start()
        lane.wait()
        try:
            verified = verify.verify(
                service.vault,
                faces,
                verify.VerificationRequest(
                    relying_party_id=UUID(party.id), key_id=key_id, subject_ref=racer.subject_ref
                ),
                probe=photo,
                settings=service.settings,
                clock=service.clock,
            )
        except NoSuchConsentError:
            return None
        else:
            return verified.comparison_id
        finally:
            other.join()

    with ThreadPoolExecutor(AT_ONCE) as executor:
        decided = [one for one in executor.map(race, racers) if one is not None]
    score = rows(service.vault.data.path, "SELECT number, what, subject, line FROM score ORDER BY number")
    ended: set[str] = set()
    late = []
    for _, what, subject, line in score:
        if what == "ended":
            ended.add(subject)
        elif subject in ended:
            late.append(line)

    assert not late
    assert {UUID(line) for _, what, _, line in score if what == "decided"} == set(decided), "one line, one answer"
    assert ended == {racer.subject_id.hex for racer in racers}
    # Both outcomes must have come up, or nothing was raced.
    assert RACES // 10 < len(decided) < RACES * 9 // 10


def _enrolled(service: RunningService, faces: RunningEngine, party_id: str, notice: str, photo: bytes) -> Racer:
    now = service.clock()
    subject_id = subjects.register(service.vault, display_name=None, now=now).subject_id
    with service.vault.data.read() as session:
        mine = (Token.subject_id == subject_id, Token.kind == TokenKind.ACCESS)
        by = Principal(Role.PERSON, subject_id, session.scalars(select(Token.id).where(*mine)).one())
    asked = consent.ConsentRequest(purpose=Purpose.VERIFICATION, relying_party_id=UUID(party_id), notice_sha256=notice)
    given = consent.give(service.vault, by=by, request=asked, chosen_end=None, now=now).grant
    enrolment.enrol(
        service.vault,
        faces,
        by=by,
        consent_ids=[given.id],
        photos=[photo],
        keep_photos=False,
        clock=service.clock,
    )
    assert given.subject_ref is not None
    return Racer(subject_id, given.id, given.subject_ref)


def test_score_would_tell_a_late_decision(service: RunningService) -> None:
    """The control: a line that is forced in after the end gets the higher number."""
    person, _, given = service.enrolled()
    keep_score(service.vault.data.path)
    withdraws(service.vault, Racer(UUID(person.subject_id), UUID(given["consent_id"]), given["subject_ref"]), service)
    with service.vault.data.write() as session:
        for table in ("entries", "comparisons"):
            session.connection().exec_driver_sql(
                f"INSERT INTO {table} (id, subject_id, position, sealed) VALUES (?, ?, 9, x'00')",  # noqa: S608 - our own
                ("0" * 32, UUID(person.subject_id).hex),
            )

    assert [row[0] for row in rows(service.vault.data.path, "SELECT what FROM score ORDER BY number")] == [
        "ended",
        "decided",
    ]


def test_of_many_erasures_of_one_person_at_once_there_is_one(service: RunningService) -> None:
    person, _, _ = service.enrolled(face=1)
    other, party, others = service.enrolled(face=2, party=service.party("Gate"))

    def erase(_: int) -> UUID | None:
        try:
            one = erasure.erase(
                service.vault, subject_id=UUID(person.subject_id), settings=service.settings, now=service.clock()
            )
        except UnauthenticatedError:
            return None
        assert one.status is ErasureStatus.COMPLETED
        return one.id

    with ThreadPoolExecutor(AT_ONCE) as executor:
        outcome = Counter(executor.map(erase, range(AT_ONCE)))

    assert outcome.pop(None) == AT_ONCE - 1
    assert list(outcome.values()) == [1]
    assert [row[0] for row in rows(service.vault.data.path, "SELECT step FROM erasures")] == ["completed"]
    assert other("GET", "/v1/me").status_code == 200
    assert party.verify(others["subject_ref"], toy_photo(2)).json()["decision"] == "match"


def test_erasing_twice_over_http_answers_once_and_then_knows_nobody(service: RunningService) -> None:
    person, _, _ = service.enrolled()
    with ThreadPoolExecutor(4) as executor:
        answers = [future.result() for future in [executor.submit(person, "DELETE", "/v1/me") for _ in range(4)]]

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 3}
