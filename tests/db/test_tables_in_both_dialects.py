"""Each table and index means the same on SQLite and on PostgreSQL.

SQLAlchemy drops an option of another dialect without a word: a unique index would lose its condition.
"""

import re
from collections.abc import Iterator

import pytest
from sqlalchemy import Dialect, Index, Integer, LargeBinary, MetaData, String, Table, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.ddl import ExecutableDDLElement

import app.main  # noqa: F401 - imports every table
from app.db.types import Row, UtcDateTime, partial_index
from app.vault.tables import RegisterRow

pytestmark = pytest.mark.unit

SQLITE = SQLiteDialect_pysqlite()
POSTGRESQL = PGDialect_psycopg()  # type: ignore[no-untyped-call]
SAME = {
    "CHAR(32)": "UUID",
    "BLOB": "BYTEA",
    "DATETIME": "TIMESTAMP WITHOUT TIME ZONE",
}
"""Each type of SQLite, and the type of PostgreSQL that stores the same values."""
NUMBERED = ("keys", "slot")
"""The only column that the database numbers."""
TABLES = [table for base in (Row, RegisterRow) for table in base.metadata.sorted_tables]


def test_every_table_has_the_same_columns_and_constraints() -> None:
    assert len(TABLES) > 30
    assert [fault for table in TABLES for fault in faults_of(table)] == []


def test_only_the_slots_of_keys_are_numbered_by_the_database() -> None:
    numbered = [
        (table.name, table.autoincrement_column.name) for table in TABLES if table.autoincrement_column is not None
    ]

    assert numbered == [NUMBERED]


def test_a_dropped_condition_is_found() -> None:
    table = Table("lost", MetaData(), *(column._copy() for column in Row.metadata.tables["subjects"].columns))
    Index("one_each", table.c.id, unique=True, sqlite_where=text("erasing"))

    assert [fault for fault in faults_of(table) if "one_each" in fault] != []


def test_a_condition_for_every_dialect_is_no_fault() -> None:
    class Example(Row):
        __tablename__ = "example_with_a_condition"
        __table_args__ = (partial_index("one_example", "at", where="at IS NOT NULL", unique=True),)

        id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
        at: Mapped[bytes] = mapped_column(UtcDateTime())
        name: Mapped[str] = mapped_column(String(7))
        body: Mapped[bytes] = mapped_column(LargeBinary)

    table = Row.metadata.tables["example_with_a_condition"]
    try:
        assert list(faults_of(table)) == []
    finally:
        Row.metadata.remove(table)
        Row.registry._dispose_cls(Example)


def faults_of(table: Table) -> Iterator[str]:
    """Yield each line of the table or of an index that means something else on the other store."""
    elements: list[ExecutableDDLElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
    for element in elements:
        here, there = lines_of(element, SQLITE), lines_of(element, POSTGRESQL)
        yield from (f"{table.name}: {line}" for line in sorted(set(map(as_there, here)) ^ set(there)))


def lines_of(element: ExecutableDDLElement, dialect: Dialect) -> list[str]:
    """Return the statement in lines, without the place of the rows and without quotes."""
    statement = str(element.compile(dialect=dialect)).replace('"', "")
    # `app.db.types.STORED_BY_KEY`: an order on the disk, not a meaning.
    statement = statement.replace("WITHOUT ROWID", "").replace("BIGSERIAL", "INTEGER")
    # `app.db.types.COUNT`: an INTEGER of SQLite has 64 bits.
    statement = statement.replace("BIGINT", "INTEGER")
    return [line.strip(" \t,") for line in statement.splitlines() if line.strip(" \t,")]


def as_there(line: str) -> str:
    """Return a line for SQLite with the types of PostgreSQL."""
    for here, there in SAME.items():
        line = re.sub(rf"^(\w+) {re.escape(here)}(?= |$)", rf"\1 {there}", line)
    return line
