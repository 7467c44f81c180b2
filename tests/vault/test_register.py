"""The register: keys by owner and generation, and tombstones that reveal no id."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from app.vault.open import open_vault
from app.vault.register import Ended, KeyGoneError, Owner, Register, tombstone_digest
from app.vault.seal import SealError
from app.vault.tables import EndedKind, OwnerKind
from tests.support.byte_scan import Needles, files_under, rows, slots
from tests.support.register_queries import tombstones
from tests.support.service_fixture import settings_for
from tests.support.sqlite_stores import in_file

DAY = date(2026, 1, 1)


@pytest.fixture
def register(root: Path) -> Iterator[Register]:
    vault = open_vault(settings_for(root))
    yield vault.register
    vault.close()


def generations(register: Register, owner: Owner) -> list[int]:
    """Return the keys of *owner* that are not destroyed, straight from the file."""
    query = "SELECT generation, wrapped FROM keys WHERE owner = ? ORDER BY generation"
    return [row[0] for row in rows(in_file(register.store).path, query, owner.digest) if any(row[1])]


@pytest.mark.parametrize("kind", list(EndedKind))
def test_ending_destroys_every_key_and_leaves_one_tombstone(register: Register, kind: EndedKind) -> None:
    """Every kind of end destroys its keys."""
    ended_id = uuid4()
    owners = [Owner(one, ended_id) for one in OwnerKind if one.value == kind.value]
    for owner in owners:
        register.issue(owner)
        register.issue(owner)
    for _ in range(2):
        register.end([Ended(kind, ended_id, "over", DAY)])

    assert [generations(register, owner) for owner in owners] == [[] for _ in owners]
    assert rows(
        in_file(register.store).path, "SELECT kind, ended_as, ended_on FROM tombstones WHERE ended_as = 'over'"
    ) == [(kind.value, "over", DAY.isoformat())]
    assert len(owners) == (1 if kind in {EndedKind.SUBJECT, EndedKind.GRANT} else 0)
    for owner in owners:
        with pytest.raises(KeyGoneError):
            register.key(owner)


def test_end_of_one_owner_keeps_the_keys_of_others(register: Register) -> None:
    """Also a person's and a grant's that happen to have one id."""
    shared, other = uuid4(), uuid4()
    for owner in (Owner.subject(shared), Owner.grant(shared), Owner.grant(other)):
        register.issue(owner)
    register.end([Ended(EndedKind.GRANT, shared, "withdrawn", DAY)])

    assert generations(register, Owner.grant(shared)) == []
    assert generations(register, Owner.subject(shared)) == [1]
    assert generations(register, Owner.grant(other)) == [1]


def test_destroyed_key_is_in_neither_file_nor_write_ahead_log(register: Register, root: Path) -> None:
    owner = Owner.grant(uuid4())
    register.issue(owner)
    ((_, _, wrapped),) = slots(root)
    needles = Needles().raw("wrapped key", wrapped)
    before = needles.found(files_under(root / "keys"))
    register.end([Ended(EndedKind.GRANT, owner.id, "withdrawn", DAY)])
    register.store.checkpoint()

    assert before
    assert not Needles().id("owner", owner.id).found(files_under(root / "keys")), "it is known by its digest only"
    assert not needles.found(files_under(root / "keys"))


def test_tombstone_does_not_reveal_the_id(register: Register) -> None:
    one = UUID(int=1)
    register.end([Ended(EndedKind.SUBJECT, one, "erased", DAY)])

    assert set(tombstones(register, EndedKind.SUBJECT)) == {tombstone_digest(EndedKind.SUBJECT, one)}
    assert tombstone_digest(EndedKind.SUBJECT, one) != tombstone_digest(EndedKind.GRANT, one)
    assert tombstones(register, EndedKind.GRANT) == {}


def test_old_keys_are_destroyed_except_those_kept(register: Register) -> None:
    owner, other = Owner.grant(uuid4()), Owner.grant(uuid4())
    for one in (owner, other):
        for _ in range(4):
            register.issue(one)
    register.drop_old_keys(owner, keep={1, 3})

    assert generations(register, owner) == [1, 3, 4]
    assert generations(register, other) == [1, 2, 3, 4]
    with pytest.raises(KeyGoneError):
        register.key(owner, 2)


def test_ended_owner_gets_no_new_key(register: Register) -> None:
    owner = Owner.grant(uuid4())
    register.issue(owner)
    register.end([Ended(EndedKind.GRANT, owner.id, "withdrawn", DAY)])

    with pytest.raises(KeyGoneError):
        register.issue(owner)
    assert generations(register, owner) == []


def test_keys_of_two_generations_open_their_own_values(register: Register) -> None:
    owner = Owner.subject(uuid4())
    first, second = register.issue(owner), register.issue(owner)
    sealed = register.key(owner, first).seal(b"old", "here")

    assert register.key(owner, first).open(sealed, "here") == b"old"
    with pytest.raises(SealError):
        register.key(owner, second).open(sealed, "here")
