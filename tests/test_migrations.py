"""Migrations and models say the same, in both databases, and a fresh one is at the newest."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Index, Integer, MetaData, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable

import app.main
from app.db.migrate import MIGRATIONS, NewerSchemaError, at_head, upgrade
from app.db.sqlite.store import SqliteStore
from app.db.store import Store
from app.db.types import Row
from app.startup import Run, prepare
from app.vault.open import SchemaError, check, is_new, migrate, open_vault
from app.vault.tables import RegisterRow
from app.vault.vault import Vault
from tests.support.byte_scan import files_under, rows
from tests.support.pin_schema import migrated_schema
from tests.support.service_fixture import settings_for
from tests.support.sqlite_stores import in_file

assert app.main.ROUTERS, "every table is known once the application is"

MODELS = {"mien": Row.metadata, "register": RegisterRow.metadata}


@pytest.fixture
def vault(root: Path) -> Iterator[Vault]:
    opened = open_vault(settings_for(root))
    yield opened
    opened.close()


def store_of(vault: Vault, name: str) -> Store:
    return vault.data if name == "mien" else vault.register.store


def contents(vault: Vault) -> list[tuple[Path, bytes]]:
    """Return every file that holds something, but those that SQLite keeps as memory."""
    found = files_under(in_file(vault.data).path.parent, in_file(vault.register.store).path.parent)
    return [(path, content) for path, content in found if content and path.suffix != ".db-shm"]


def differences(store: Store, metadata: MetaData) -> list[object]:
    with store.read() as session:
        found: list[object] = compare_metadata(MigrationContext.configure(session.connection()), metadata)
    return found


def condition(index: Index, dialect: str) -> str | None:
    """Return the part after WHERE of the statement that creates *index*."""
    dialects = {"sqlite": sqlite.dialect, "postgresql": postgresql.dialect}
    _, where, rows = str(CreateIndex(index).compile(dialect=dialects[dialect]())).partition(" WHERE ")
    return rows if where else None


@pytest.mark.unit
def test_every_table_and_condition_of_an_index_compiles_for_both_dialects() -> None:
    tables = [table for metadata in MODELS.values() for table in metadata.sorted_tables]
    for table in tables:
        assert "CREATE TABLE" in str(CreateTable(table).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    indexes = [index for table in tables for index in table.indexes]
    assert {index.name: condition(index, "postgresql") for index in indexes} == {
        index.name: condition(index, "sqlite") for index in indexes
    }
    assert condition(next(one for one in indexes if one.name == "one_renewal_grant_each"), "postgresql")


@pytest.mark.parametrize("name", MODELS)
def test_migrated_schema_matches_the_models(vault: Vault, name: str) -> None:
    assert differences(store_of(vault, name), MODELS[name]) == []


@pytest.mark.service
@pytest.mark.parametrize("name", MODELS)
def test_pinned_schema_is_that_of_the_migrations(name: str) -> None:
    pinned = (MIGRATIONS / name / "schema.sql").read_text("utf-8")

    assert pinned == migrated_schema(name), "run `make schema`"


def test_difference_between_schema_and_models_is_found(vault: Vault) -> None:
    other = MetaData()
    for table in Row.metadata.sorted_tables:
        table.to_metadata(other)
    Table("forgotten", other, Column("id", Integer, primary_key=True))

    assert [change[0] for change in differences(vault.data, other) if isinstance(change, tuple)] == ["add_table"]


@pytest.mark.service
def test_fresh_databases_are_at_the_newest_schema(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    vault = open_vault(settings)
    before = is_new(vault)
    prepare(vault, settings, Run.MIGRATE)

    assert (before, is_new(vault)) == (True, False)
    assert at_head(vault.data)
    assert at_head(vault.register.store)
    check(vault)


@pytest.mark.parametrize("name", MODELS)
def test_migrating_again_changes_nothing(vault: Vault, root: Path, name: str) -> None:
    schema = "SELECT type, name, sql FROM sqlite_master ORDER BY name"
    before = rows(in_file(store_of(vault, name)).path, schema)
    upgrade(store_of(vault, name))
    prepare(vault, settings_for(root), Run.MIGRATE)

    assert rows(in_file(store_of(vault, name)).path, schema) == before


@pytest.mark.parametrize("name", MODELS)
def test_older_database_is_refused_until_migrated(vault: Vault, name: str) -> None:
    with store_of(vault, name).write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))

    with pytest.raises(SchemaError, match="mien migrate"):
        check(vault)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("attempt", [check, migrate])
def test_newer_database_is_refused_and_unchanged(vault: Vault, name: str, attempt: Callable[[Vault], None]) -> None:
    with store_of(vault, name).write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    before = contents(vault)

    with pytest.raises(NewerSchemaError, match=rf"{name}.db has schema 9999.*only go forward"):
        attempt(vault)
    assert contents(vault) == before


@pytest.mark.parametrize("name", MODELS)
def test_no_migration_goes_back(name: str) -> None:
    """One that is half supported would be worse than none: see `app.db.migrate`."""
    scripts = sorted((MIGRATIONS / name / "versions").glob("*.py"))

    assert scripts
    assert not [script.name for script in scripts if "def downgrade" in script.read_text("utf-8")]


@pytest.mark.service
def test_failed_migration_is_rolled_back(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "mien.db")
    with store.write() as session:
        session.execute(text("CREATE TABLE templates (in_the_way INTEGER)"))
    with pytest.raises(OperationalError, match="already exists"):
        upgrade(store)

    assert [row[0] for row in rows(store.path, "SELECT name FROM sqlite_master WHERE type = 'table'")] == ["templates"]


NEVER = (
    "UPDATE notices SET body = x'00'",
    "DELETE FROM notices",
    "UPDATE consent_events SET position = 9",
    "UPDATE receipts SET position = 9",
)


@pytest.mark.parametrize("statement", NEVER)
def test_sql_cannot_change_notices_and_consent_events(vault: Vault, statement: str) -> None:
    with vault.data.write() as session:
        for query in (
            "INSERT INTO subjects (id, registered_on, erasing) VALUES ('a', '2026-01-01', 0)",
            "INSERT INTO receipts VALUES ('e', 'a', 1, x'00')",
            "INSERT INTO consent_events VALUES ('e', 'a', 1, x'00')",
        ):
            session.execute(text(query))

    with pytest.raises(IntegrityError, match="never changed"), vault.data.write() as session:
        session.execute(text(statement))
    assert rows(in_file(vault.data).path, "SELECT position FROM consent_events") == [(1,)]


def test_interrupted_installation_is_finished_at_the_next_start(root: Path) -> None:
    """The process died after the register was made and before the data was."""
    shutil.rmtree(root / "data")
    settings = settings_for(root)
    vault = open_vault(settings)
    before = is_new(vault)
    prepare(vault, settings, Run.MIGRATE)

    assert before
    check(vault)
