"""Faults and changes that only a PostgreSQL server has."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url, text
from sqlalchemy.exc import IntegrityError, OperationalError

import app.main
from app.db.errors import ChangedSchemaError
from app.db.migrate import MIGRATIONS, pinned_schema, upgrade
from app.db.postgres.store import PostgresStore, UnusableServerError
from app.db.types import Row
from app.vault.tables import RegisterRow
from tests.support.pin_schema import migrated_postgres_schema
from tests.support.postgres_clusters import Cluster, Clusters, Databases
from tests.support.waiting import wait_until

assert app.main.ROUTERS, "every table is known once the application is"
pytestmark = pytest.mark.service


@pytest.fixture
def store(databases: Databases) -> Iterator[PostgresStore]:
    """A data store with every table."""
    pinned = pinned_schema("mien", "postgresql")
    made = PostgresStore(make_url(databases.data_url), name="mien", busy_s=2.0, schema=pinned)
    upgrade(made)
    yield made
    made.close()


def test_pinned_schemas_are_those_of_the_migrations(databases: Databases) -> None:
    for name, url in (("mien", databases.data_url), ("register", databases.register_url)):
        assert migrated_postgres_schema(name, url) == pinned_schema(name, "postgresql"), "run `make schema`"


def test_migrated_schemas_match_the_models(databases: Databases) -> None:
    for name, url, metadata in (
        ("mien", databases.data_url, Row.metadata),
        ("register", databases.register_url, RegisterRow.metadata),
    ):
        made = PostgresStore(make_url(url), name=name)
        upgrade(made)
        with made.read() as session:
            assert compare_metadata(MigrationContext.configure(session.connection()), metadata) == []
        made.close()


@pytest.mark.parametrize("name", ["mien", "register"])
def test_both_kinds_of_database_have_the_same_triggers_and_messages(name: str) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript((MIGRATIONS / name / "schema.sql").read_text("utf-8"))
        triggers = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"))
    pinned = pinned_schema(name, "postgresql")
    there = {key[1].partition(".")[2] for key in pinned if key[0] == "trigger"}
    definitions = json.dumps(list(pinned.values()))

    assert set(triggers) == there
    for statement in triggers.values():
        _, raises, rest = statement.partition("RAISE(ABORT, '")
        assert not raises or rest.partition("'")[0] in definitions


CHANGES = {
    "a trigger that was dropped": "DROP TRIGGER receipts_never_update ON receipts",
    "a trigger that was switched off": "ALTER TABLE receipts DISABLE TRIGGER receipts_never_update",
    "a function that was changed": "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RETURN NEW; END'",
    "a function that was planted": "CREATE FUNCTION planted() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "a rule that was planted": "CREATE RULE planted AS ON INSERT TO receipts DO INSTEAD NOTHING",
    "a foreign key that was dropped": "ALTER TABLE templates DROP CONSTRAINT templates_entry_id_fkey",
    "row security": "ALTER TABLE receipts ENABLE ROW LEVEL SECURITY",
    "a default": "ALTER TABLE subjects ALTER COLUMN erasing SET DEFAULT false",
}


@pytest.mark.parametrize("change", CHANGES)
def test_each_change_of_the_schema_is_found(store: PostgresStore, change: str) -> None:
    store.check_schema()
    with store.write(migrating=True) as session:
        session.execute(text(CHANGES[change]))

    with pytest.raises(ChangedSchemaError):
        store.check_schema()


def test_a_trigger_refuses_as_on_sqlite(store: PostgresStore) -> None:
    with pytest.raises(IntegrityError, match="a notice records the facts that it states"), store.write() as session:
        session.execute(
            text(
                "INSERT INTO notices (sha256, purpose, language, version, published_at, body)"
                " VALUES ('a', 'verification', 'en', 1, now(), '')"
            )
        )


def test_a_server_that_is_away_is_named_and_used_again_when_it_is_back(
    store: PostgresStore, clusters: Clusters
) -> None:
    with store.read() as session:
        session.execute(text("SELECT 1"))
    clusters.data.stop()
    try:
        with pytest.raises(OperationalError), store.write():
            pytest.fail("there is no server")
        fault = store.find_write_fault()
        assert fault is not None
        assert "the PostgreSQL server cannot be reached" in fault
    finally:
        clusters.data.start()

    with store.write() as session:
        session.execute(text("SELECT 1"))
    wait_until(lambda: store.find_write_fault() is None)


def test_a_lock_is_lost_with_its_server(store: PostgresStore, clusters: Clusters) -> None:
    with store.lock("job") as held:
        assert held
        clusters.data.stop()
        clusters.data.start()
        assert not held


def test_a_standby_is_refused() -> None:
    primary = Cluster.created()
    standby = primary.standby("second", synchronous=False)
    try:
        store = PostgresStore(make_url(standby.url("postgres")), name="mien", busy_s=1.0)
        with pytest.raises((OperationalError, UnusableServerError)):
            store.check_place()
        store.close()
    finally:
        standby.remove()
        primary.remove()
