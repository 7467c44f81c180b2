"""Many rows are changed in one statement, on both stores, and only those that are as expected."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, insert, make_url, select
from sqlalchemy.orm import Session

from app.vault.rotation import REPLACE
from app.vault.tables import KeySlot
from tests.support.postgres_clusters import Databases

COUNT = 500


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    url = make_url(f"sqlite:///{tmp_path / 'one.db'}")
    if request.param == "postgresql":
        databases: Databases = request.getfixturevalue("databases")
        url = make_url(databases.register_url).set(drivername="postgresql+psycopg")
    made = create_engine(url)
    yield made
    made.dispose()


@pytest.mark.service
def test_each_row_gets_its_values_unless_another_changed_it(engine: Engine) -> None:
    KeySlot.metadata.tables["keys"].create(engine)
    old = [number.to_bytes(60) for number in range(COUNT)]
    rows = [{"owner": b"o" * 32, "generation": 1, "kek_id": "old", "wrapped": wrapped} for wrapped in old]
    with Session(engine) as session:
        session.execute(insert(KeySlot), rows)
        found = session.execute(select(KeySlot.slot, KeySlot.wrapped).order_by(KeySlot.slot)).all()
        expected = [(slot, bytes(60) if number == 3 else wrapped) for number, (slot, wrapped) in enumerate(found)]
        REPLACE.execute(session, [("new", wrapped[::-1], slot, wrapped) for slot, wrapped in expected])
        after = session.execute(select(KeySlot.kek_id, KeySlot.wrapped).order_by(KeySlot.slot)).all()

    assert [tuple(row) for row in after] == [
        ("old", one) if number == 3 else ("new", one[::-1]) for number, one in enumerate(old)
    ]
