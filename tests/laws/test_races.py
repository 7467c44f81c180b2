"""Races between a verification and the end of the consent; the database records the order.

The end starts at a random moment of the verification, and from there both run freely. Triggers note each comparison,
each ended grant and each subject taken out of matching. SQLite has one writer, so the notes are in the order of the
commits. PostgreSQL records the time of each commit. Neither depends on the clock or the threads of the program.
"""

import random
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert, select, update

from app.comparisons.tables import Comparison
from app.consent import service as consent
from app.consent.errors import NoSuchConsentError
from app.db.sqlite.store import SqliteStore
from app.db.store import Store
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
from app.subjects.tables import Subject, Token, TokenKind
from app.transparency.tables import EntryRow
from app.vault.vault import Vault
from app.verification import service as verify
from app.web.callers import Principal, Role, UnauthenticatedError
from tests.comparisons.failures import unhindered
from tests.support.changed_schema import accept_any_schema
from tests.support.service_fixture import RunningService
from tests.support.store_queries import read_rows
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

pytestmark = pytest.mark.both_stores
RACES = 100
AT_ONCE = 8
PATIENCE_S = 120.0

ORDER_TRIGGERS = """
CREATE TABLE commit_order (number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT, subject TEXT, comparison TEXT);
CREATE TRIGGER ordered_comparison AFTER INSERT ON comparisons
    BEGIN INSERT INTO commit_order (kind, subject, comparison) VALUES ('decided', NEW.subject_id, NEW.id); END;
CREATE TRIGGER ordered_end AFTER DELETE ON grants
    BEGIN INSERT INTO commit_order (kind, subject) VALUES ('ended', OLD.subject_id); END;
CREATE TRIGGER ordered_stop AFTER UPDATE OF spell_id, erasing ON subjects WHEN NEW.spell_id IS NULL OR NEW.erasing
    BEGIN INSERT INTO commit_order (kind, subject) VALUES ('ended', NEW.id); END;
"""


ORDER_TRIGGERS_ON_POSTGRESQL = """
CREATE TABLE commit_order (kind text, subject uuid, comparison uuid);
CREATE FUNCTION note_decision() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO commit_order VALUES ('decided', NEW.subject_id, NEW.id); RETURN NULL; END $$;
CREATE FUNCTION note_end() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO commit_order VALUES ('ended', OLD.subject_id); RETURN NULL; END $$;
CREATE FUNCTION note_stop() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN INSERT INTO commit_order VALUES ('ended', NEW.id); RETURN NULL; END $$;
CREATE TRIGGER ordered_comparison AFTER INSERT ON comparisons FOR EACH ROW EXECUTE FUNCTION note_decision();
CREATE TRIGGER ordered_end AFTER DELETE ON grants FOR EACH ROW EXECUTE FUNCTION note_end();
CREATE TRIGGER ordered_stop AFTER UPDATE OF spell_id, erasing ON subjects FOR EACH ROW
    WHEN (NEW.spell_id IS NULL OR NEW.erasing) EXECUTE FUNCTION note_stop();
"""
IN_ORDER = "SELECT kind, subject, comparison FROM commit_order ORDER BY number"
IN_ORDER_ON_POSTGRESQL = (
    "SELECT kind, subject, comparison FROM commit_order ORDER BY pg_xact_commit_timestamp(xmin), kind DESC"
)


class Moment(Enum):
    """The moment of a verification at which the end of its consent starts."""

    REQUEST = auto()
    MEASUREMENT = auto()
    WHOLE_MEASUREMENT = auto()
    """At its start; the measurement lasts until the end has committed."""
    MEASURED = auto()
    ANSWER = auto()


@dataclass(frozen=True)
class Race:
    """One verification, and the end of its consent."""

    start_at: Moment
    started: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def reach(self, moment: Moment) -> None:
        """Start the end if this is its moment."""
        if moment is self.start_at:
            self.started.set()


class RacingPool(EnginePool):
    """Returns the features of one face, and starts the ends of consents."""

    def __init__(self, features: Measurement) -> None:
        self._features = features
        self.races: dict[UUID, Race] = {}
        """By consent."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Return the features; in a race, pass the moments of the measurement."""
        race = self.races.get(permit.grant_ids[0], Race(Moment.ANSWER))
        race.reach(Moment.MEASUREMENT)
        if race.start_at is Moment.WHOLE_MEASUREMENT:
            race.started.set()
            assert race.ended.wait(PATIENCE_S)
        race.reach(Moment.MEASURED)
        return [self._features for _ in images]


@dataclass(frozen=True)
class EnrolledSubject:
    """An enrolled subject."""

    subject_id: UUID
    consent_id: UUID
    subject_ref: str


Ending = Callable[[Vault, EnrolledSubject, RunningService], None]


def withdraw(vault: Vault, subject: EnrolledSubject, service: RunningService) -> None:
    consent.withdraw(
        vault,
        subject_id=subject.subject_id,
        consent_id=subject.consent_id,
        settings=service.settings,
        clock=service.clock,
    )


def erase_subject(vault: Vault, subject: EnrolledSubject, service: RunningService) -> None:
    erasure.erase(vault, subject_id=subject.subject_id, settings=service.settings, now=service.clock())


def restrict(vault: Vault, subject: EnrolledSubject, service: RunningService) -> None:
    with vault.data.write() as session:
        session.connection().execute(
            update(Subject).where(Subject.id == subject.subject_id).values(matching_period_id=None)
        )


ENDINGS: Sequence[Ending] = (withdraw, withdraw, withdraw, erase_subject, restrict)


def record_order(store: Store) -> None:
    accept_any_schema(store)
    if isinstance(store, SqliteStore):
        with closing(sqlite3.connect(store.path)) as connection:
            connection.executescript(ORDER_TRIGGERS)
    else:
        with store.write() as session:
            session.connection().exec_driver_sql(ORDER_TRIGGERS_ON_POSTGRESQL)


def in_order(store: Store) -> list[tuple[str, str, str]]:
    """Return the kind, the subject and the comparison of each commit, in the order of the commits."""
    return read_rows(store, IN_ORDER if isinstance(store, SqliteStore) else IN_ORDER_ON_POSTGRESQL)


def test_no_decision_commits_after_the_end_of_its_consent(service: RunningService) -> None:
    unhindered(service)
    chance = random.Random(20261123)  # noqa: S311 - repeatable on purpose
    photo, party, notice = toy_photo(1), service.party(), service.notice("verification")
    (features,) = service.pool.measure(Permit(grant_ids=(uuid4(),)), [photo])
    assert isinstance(features, Measurement)
    pool = RacingPool(features)
    faces = RunningEngine(pool=pool, card=toy_card(), target_fmr=1e-3, threshold=0.54)
    enrolled = [_enrolled(service, faces, party.id, notice, photo) for _ in range(RACES)]
    record_order(service.vault.data)
    with service.vault.data.read() as session:
        key_id = session.scalars(select(PartyKey.id)).one()

    def run_race(subject: EnrolledSubject) -> UUID | None:
        """Run a random ending beside a verification; return the comparison id of a decision."""
        ending, race = chance.choice(ENDINGS), Race(chance.choice(list(Moment)))
        pool.races[subject.consent_id] = race

        def end() -> None:
            assert race.started.wait(PATIENCE_S)
            ending(service.vault, subject, service)
            race.ended.set()

        other = threading.Thread(target=end)
        other.start()
        race.reach(Moment.REQUEST)
        try:
            verified = verify.verify(
                service.vault,
                faces,
                verify.VerificationRequest(
                    relying_party_id=UUID(party.id), key_id=key_id, subject_ref=subject.subject_ref
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
            # A refused verification passes no later moment.
            race.started.set()
            other.join()

    with ThreadPoolExecutor(AT_ONCE) as executor:
        decided = [one for one in executor.map(run_race, enrolled) if one is not None]
    commits = in_order(service.vault.data)
    ended: set[str] = set()
    late = []
    for kind, subject_id, comparison in commits:
        if kind == "ended":
            ended.add(subject_id)
        elif subject_id in ended:
            late.append(comparison)

    assert not late
    committed = {UUID(comparison) for kind, _, comparison in commits if kind == "decided"}
    assert committed == set(decided), "each committed decision was answered"
    assert ended == {one.subject_id.hex for one in enrolled}
    # Both outcomes must occur, otherwise nothing was tested.
    assert RACES // 10 < len(decided) < RACES * 9 // 10


def _enrolled(
    service: RunningService, faces: RunningEngine, party_id: str, notice: str, photo: bytes
) -> EnrolledSubject:
    now = service.clock()
    subject_id = subjects.register(service.vault, display_name=None, now=now).subject_id
    with service.vault.data.read() as session:
        mine = (Token.subject_id == subject_id, Token.kind == TokenKind.ACCESS)
        by = Principal(Role.PERSON, subject_id, session.scalars(select(Token.id).where(*mine)).one())
    asked = consent.ConsentRequest(purpose=Purpose.VERIFICATION, relying_party_id=UUID(party_id), notice_sha256=notice)
    given = consent.give(
        service.vault,
        by=by,
        request=asked,
        facts=service.facts,
        chosen_end=None,
        settings=service.settings,
        now=now,
    ).grant
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
    return EnrolledSubject(subject_id, given.id, given.subject_ref)


def test_a_late_decision_would_be_found(service: RunningService) -> None:
    """The control: a comparison that is inserted after the end gets the higher number."""
    person, _, given = service.enrolled()
    record_order(service.vault.data)
    withdraw(
        service.vault,
        EnrolledSubject(UUID(person.subject_id), UUID(given["consent_id"]), given["subject_ref"]),
        service,
    )
    with service.vault.data.write() as session:
        for table in (EntryRow, Comparison):
            row = {"id": UUID(int=0), "subject_id": UUID(person.subject_id), "position": 9, "sealed": b"0"}
            session.connection().execute(insert(table).values(**row))

    assert [kind for kind, _, _ in in_order(service.vault.data)] == ["ended", "decided"]


def test_parallel_erasures_of_one_person_make_one_erasure(service: RunningService) -> None:
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
    assert read_rows(service.vault.data, "SELECT step FROM erasures") == [("completed",)]
    assert other("GET", "/v1/me").status_code == 200
    assert party.verify(others["subject_ref"], toy_photo(2)).json()["decision"] == "match"


def test_parallel_erasures_over_http_succeed_once_and_then_answer_401(service: RunningService) -> None:
    person, _, _ = service.enrolled()
    with ThreadPoolExecutor(4) as executor:
        answers = [future.result() for future in [executor.submit(person, "DELETE", "/v1/me") for _ in range(4)]]

    assert Counter(answer.status_code for answer in answers) == {200: 1, 401: 3}
