"""The digests by which a move compares two databases: every difference shows, and the order of rows does not."""

from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Engine, create_engine

from app.db.row_digests import TableDigest, table_digests

pytestmark = pytest.mark.service
COLUMNS = "id CHAR(32) PRIMARY KEY, sealed BLOB, at DATETIME, number INTEGER, note TEXT"
ROWS = [
    (UUID(int=1).hex, b"\x00\xff", "2026-11-30 22:17:00.000000", 1, "one"),
    (UUID(int=2).hex, None, None, -5, ""),
]


def database(path: Path, *rows: tuple[object, ...], columns: str = COLUMNS) -> Engine:
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE TABLE noted ({columns})")
        for row in rows:
            connection.exec_driver_sql("INSERT INTO noted VALUES (?, ?, ?, ?, ?)", row)
    return engine


def digest(path: Path, *rows: tuple[object, ...], columns: str = COLUMNS) -> TableDigest:
    engine = database(path, *rows, columns=columns)
    try:
        return table_digests(engine)["noted"]
    finally:
        engine.dispose()


def test_the_order_of_rows_and_of_columns_does_not_count(tmp_path: Path) -> None:
    first = digest(tmp_path / "first", *ROWS)
    assert first.rows == 2
    assert digest(tmp_path / "second", *reversed(ROWS)) == first
    turned = [tuple(reversed(row)) for row in ROWS]
    assert digest(tmp_path / "third", *turned, columns=", ".join(reversed(COLUMNS.split(", ")))) == first


@pytest.mark.parametrize(
    "rows",
    [
        ROWS[:1],
        [*ROWS, (UUID(int=3).hex, None, None, 0, "")],
        [ROWS[0], (*ROWS[1][:4], None)],
        [(*ROWS[0][:1], b"\x00\xfe", *ROWS[0][2:]), ROWS[1]],
        [(*ROWS[0][:4], "two"), ROWS[1]],
        [(ROWS[1][0], *ROWS[0][1:]), (ROWS[0][0], *ROWS[1][1:])],
    ],
    ids=["a row less", "a row more", "an empty text for none", "one byte", "a word", "two ids exchanged"],
)
def test_every_difference_shows(tmp_path: Path, rows: list[tuple[object, ...]]) -> None:
    assert digest(tmp_path / "changed", *rows) != digest(tmp_path / "first", *ROWS)


def test_a_column_may_be_left_out(tmp_path: Path) -> None:
    engines = [database(tmp_path / str(number), (*ROWS[0][:4], str(number))) for number in range(2)]
    assert len({str(table_digests(engine)) for engine in engines}) == 2
    assert len({str(table_digests(engine, leave_out={"note"})) for engine in engines}) == 1
    for engine in engines:
        engine.dispose()
