"""Law 4 on PostgreSQL, below every lock of the program: the deciding statement alone keeps an end from slipping by.

The ends are plain SQL, as another program sends it. PostgreSQL itself gives the order of the commits.
"""

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, Insert, create_engine, delete, insert, text, update
from sqlalchemy.sql.expression import Executable

from app.comparisons import commit_decision
from app.consent.tables import Grant, Notice
from app.db.types import Row
from app.faces.permit import Purpose
from app.parties.tables import PartyKey, PartyPurpose, RelyingParty
from app.subjects.tables import Subject
from app.templates.tables import Template
from app.transparency.tables import EntryRow
from tests.support.postgres_clusters import Cluster
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service
RACES = 30
"""For each kind of end."""
NOW = datetime(2026, 11, 30, tzinfo=UTC)
ALL_AUTHENTIC = (
    "CREATE FUNCTION mien_row_fits(bytea, text, VARIADIC text[]) RETURNS boolean LANGUAGE sql AS 'SELECT true'"
)
AFTER_ITS_END = text(
    "SELECT count(*) FROM entries JOIN ends ON ends.id = entries.id"
    " WHERE pg_xact_commit_timestamp(entries.xmin) > pg_xact_commit_timestamp(ends.xmin)"
)


@dataclass(frozen=True)
class Enrolled:
    """The rows of one enrolled person; the id of the comparison is new."""

    subject_id: UUID
    grant_id: UUID
    template_id: UUID
    key_id: UUID
    comparison_id: UUID

    def values(self) -> dict[str, object]:
        """Return the values of the deciding statement."""
        own = {"person_id": self.subject_id, "grant_id": self.grant_id, "template_id": self.template_id}
        return {**own, "key_id": self.key_id, "comparison_id": self.comparison_id, "sealed": b"sealed", "now": NOW}

    def ends(self) -> dict[str, Executable]:
        """Return each statement that ends the permission to compare."""
        return {
            "restriction": update(Subject).where(Subject.id == self.subject_id).values(matching_period_id=None),
            "erasure": update(Subject).where(Subject.id == self.subject_id).values(erasing=True),
            "dispute": update(Grant).where(Grant.id == self.grant_id).values(matching_period_id=None),
            "withdrawal": delete(Grant).where(Grant.id == self.grant_id),
            "enrolment": delete(Template).where(Template.id == self.template_id),
        }


KINDS = ("restriction", "erasure", "dispute", "withdrawal", "enrolment")


def deciding(*, row_locks: bool) -> Insert:
    """Return the deciding statement, as it is or without its row locks."""
    if row_locks:
        return commit_decision._INSERT_ENTRY
    in_force = commit_decision._IN_FORCE._clone()
    in_force._for_update_arg = None
    return insert(EntryRow).from_select(["id", "subject_id", "position", "sealed"], in_force).returning(EntryRow.id)


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A database with the tables of the data store, where each row is authentic."""
    cluster = Cluster.created()
    try:
        cluster.sql("CREATE DATABASE races OWNER mien")
        made = create_engine(cluster.url("races").replace("postgresql:", "postgresql+psycopg:"), pool_size=20)
        Row.metadata.create_all(made)
        with made.begin() as connection:
            connection.execute(text("CREATE TABLE ends (id uuid)"))
            connection.execute(text(ALL_AUTHENTIC))
        yield made
        made.dispose()
    finally:
        cluster.remove()


def enrol(engine: Engine) -> Enrolled:
    """Write the rows of an enrolled person."""
    made = Enrolled(*(uuid4() for _ in range(5)))
    party_id, digest = uuid4(), uuid4().hex * 2
    on, purpose = NOW.date(), Purpose.VERIFICATION
    asks = {"relying_party_id": party_id, "purpose": purpose}
    of_grant = {**asks, "subject_id": made.subject_id}
    texts = {"name": str(party_id), "contact": "c", "alternative": "a key"}
    number = uuid4().int % 10**9
    rows: list[tuple[type[Row], dict[str, object]]] = [
        (RelyingParty, {"id": party_id, "added_on": on, **texts}),
        (PartyPurpose, asks),
        (PartyKey, {"id": made.key_id, "relying_party_id": party_id, "digest": party_id.bytes, "created_on": on}),
        (
            Notice,
            {
                "sha256": digest,
                "purpose": purpose,
                "language": "en",
                "version": number,
                "published_at": NOW,
                "body": b"",
            },
        ),
        (Subject, {"id": made.subject_id, "registered_on": on}),
        (
            Grant,
            {
                **of_grant,
                "id": made.grant_id,
                "subject_ref": made.grant_id.hex,
                "notice_sha256": digest,
                "valid_until": NOW + timedelta(days=1),
            },
        ),
        (
            Template,
            {
                **of_grant,
                "id": made.template_id,
                "grant_id": made.grant_id,
                "enrolment_id": uuid4(),
                "enrolled_on": on,
                "engine_id": "toy",
                "weights_sha256": "",
                "key_generation": 1,
                "sealed": b"",
            },
        ),
    ]
    with engine.begin() as connection:
        for table, values in rows:
            connection.execute(insert(table).values(**values))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_waits_for_a_decision_that_was_first(engine: Engine, kind: str) -> None:
    person = enrol(engine)

    with engine.connect() as decision, ThreadPoolExecutor() as threads:
        assert decision.execute(deciding(row_locks=True), person.values()).first() is not None
        end = threads.submit(commit_end, engine, person, kind)
        wait_until(lambda: waiting(engine) == 1)
        assert not end.done()
        decision.commit()

    assert after_its_end(engine) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_decision_waits_for_an_end_that_was_first_and_is_not_made(engine: Engine, kind: str) -> None:
    person = enrol(engine)

    with engine.connect() as end, ThreadPoolExecutor() as threads:
        end.execute(person.ends()[kind])
        decision = threads.submit(decide, engine, person, row_locks=True)
        wait_until(lambda: waiting(engine) == 1)
        end.commit()

    assert decision.result() is False


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_row_locks_the_end_slips_by(engine: Engine, kind: str) -> None:
    """The harness sees the fault that the row locks prevent."""
    person, before = enrol(engine), after_its_end(engine)

    with engine.connect() as decision:
        assert decision.execute(deciding(row_locks=False), person.values()).first() is not None
        commit_end(engine, person, kind)
        decision.commit()

    assert after_its_end(engine) == before + 1
    with engine.begin() as connection:
        connection.execute(delete(EntryRow))


@pytest.mark.parametrize("kind", KINDS)
def test_no_decision_commits_after_an_end_in_many_races(engine: Engine, kind: str) -> None:
    made = 0
    chance = random.Random(20261130)  # noqa: S311 - repeatable on purpose
    with ThreadPoolExecutor(2) as threads:
        for _ in range(RACES):
            person, start = enrol(engine), threading.Barrier(2)
            late = chance.choice((True, False))
            decision = threads.submit(decide, engine, person, row_locks=True, start=start, pause=late)
            threads.submit(commit_end, engine, person, kind, start=start).result()
            made += decision.result()

    assert after_its_end(engine) == 0
    assert 0 < made < RACES


def decide(
    engine: Engine, person: Enrolled, *, row_locks: bool, start: threading.Barrier | None = None, pause: bool = False
) -> bool:
    """Commit a decision, if the statement makes one."""
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        if start is not None:
            start.wait()
        if pause:
            connection.execute(text("SELECT pg_sleep(0.001)"))
        return connection.execute(deciding(row_locks=row_locks), person.values()).first() is not None


def commit_end(engine: Engine, person: Enrolled, kind: str, *, start: threading.Barrier | None = None) -> None:
    """End the permission, and note the transaction that does so."""
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
        if start is not None:
            start.wait()
        connection.execute(person.ends()[kind])
        connection.execute(text("INSERT INTO ends VALUES (:id)"), {"id": person.comparison_id})


def waiting(engine: Engine) -> int:
    """Count the connections that wait for a lock of another one."""
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one())


def after_its_end(engine: Engine) -> int:
    """Count the decisions that PostgreSQL committed after the end of their permission."""
    with engine.connect() as connection:
        return int(connection.execute(AFTER_ITS_END).scalar_one())
