"""A turn on PostgreSQL: old row versions and the write-ahead log stay, and open no more."""

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, select

from app.db.migrate import pinned_schema, upgrade
from app.db.postgres.store import PostgresStore
from app.vault.kek_file import KekFile
from app.vault.key_encryption_keys import AvailableKeks
from app.vault.register import Ended, KeyGoneError, Owner, Register
from app.vault.rotation import rotate
from app.vault.seal import SealError
from app.vault.tables import EndedKind, KeySlot
from tests.support.byte_scan import Needles, files_under
from tests.support.postgres_clusters import Clusters, Databases

pytestmark = pytest.mark.service
OWNERS, ENDED = 20, 10
"""Several end: the page headers of the write-ahead log may stand in the middle of one key."""


@pytest.fixture
def register(databases: Databases, tmp_path: Path) -> Iterator[Register]:
    file = KekFile(tmp_path / "kek")
    file.make_first()
    schema = pinned_schema("register", "postgresql")
    store = PostgresStore(make_url(databases.register_url), name="register", busy_s=30.0, schema=schema)
    upgrade(store)
    with closing(store):
        yield Register(store, AvailableKeks(file))


def test_after_the_turn_no_live_key_opens_what_old_pages_and_logs_keep(
    register: Register, clusters: Clusters, tmp_path: Path
) -> None:
    owners = [Owner.grant(uuid4()) for _ in range(OWNERS)]
    for owner in owners:
        register.issue(owner)
    sealed = [register.key(owner).seal(b"kept", "here") for owner in owners]
    ended, old = owners[:ENDED], register.keks.first
    with register.store.read() as session:
        wrapped = [
            session.scalars(select(KeySlot.wrapped).where(KeySlot.owner == owner.digest)).one() for owner in ended
        ]
    register.end([Ended(EndedKind.GRANT, owner.id, "withdrawn", date(2026, 11, 30)) for owner in ended])
    left = Needles().raw("wrapped", *wrapped)
    assert left.found(files_under(clusters.register.data)), "the server keeps old row versions and its log"
    for owner, key in zip(ended, wrapped, strict=True):
        assert old.unwrap(key, owner.context(1)), "before the turn a copy of the files opens it"
    file = (tmp_path / "kek").read_bytes()
    done = rotate(register)

    (kek,) = register.keks.source.read()
    assert kek.id == done.kek_id
    for owner, key in zip(ended, wrapped, strict=True):
        with pytest.raises(KeyGoneError):
            register.key(owner)
        with pytest.raises(SealError):
            kek.unwrap(key, owner.context(1))
    kept = [
        register.key(owner).open(value, "here") for owner, value in zip(owners[ENDED:], sealed[ENDED:], strict=True)
    ]
    assert kept == [b"kept"] * (OWNERS - ENDED)
    needles = Needles().raw("old key-encryption key", file.strip())
    assert needles.found([*files_under(clusters.register.data), *files_under(tmp_path)]) == []
