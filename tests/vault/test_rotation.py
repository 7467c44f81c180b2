"""A rotation loses no key, leaves no byte of the old one, and can be finished after any interruption."""

import base64
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.comparisons.enumeration_guard import KEY_OWNER
from app.kit.file_locks import try_lock
from app.settings import Settings
from app.startup import Run, prepare
from app.vault import authenticity, rotation
from app.vault.key_encryption_keys import UnknownKekError
from app.vault.open import open_vault
from app.vault.register import KeyGoneError, Owner, Register
from app.vault.rotation import RotationError, RotationResult, rotate
from app.vault.seal import KEY_BYTES, Kek, KekError
from tests.support.byte_scan import Needles, files_under, rows
from tests.support.service_fixture import settings_for
from tests.support.sqlite_stores import in_file
from tests.vault.disk import full_disk
from tests.vault.killed_process import killed_at, steps_of

OWNERS = 20
SERVICE_KEYS = 6


@contextmanager
def opened(root: Path, settings: Settings | None = None) -> Iterator[Register]:
    vault = open_vault(settings or settings_for(root))
    try:
        yield vault.register
    finally:
        vault.close()


def turned(root: Path, settings: Settings | None = None) -> RotationResult:
    with opened(root, settings) as register:
        return rotate(register)


@dataclass(frozen=True)
class StoredKeys:
    """Live keys, each with a value that it sealed, and destroyed keys."""

    sealed: dict[tuple[Owner, int], bytes]
    destroyed: list[tuple[Owner, int]]

    def opens_in(self, register: Register) -> bool:
        """Return whether every live key opens its value and every destroyed one is gone."""
        for (owner, generation), value in self.sealed.items():
            assert register.key(owner, generation).open(value, "here") == b"kept"
        for owner, generation in self.destroyed:
            with pytest.raises(KeyGoneError):
                register.key(owner, generation)
        return True


def of_the_service(register: Register) -> list[tuple[Owner, int]]:
    """Return the keys of the transparency log, of the enumeration guard and of authenticity."""
    ids = rows(in_file(register.store).path, "SELECT id FROM origin UNION SELECT id FROM log_signing_keys")
    known = [*(Owner.log(UUID(one)) for (one,) in ids), KEY_OWNER, authenticity.KEY_OWNER]
    assert len(known) == SERVICE_KEYS
    return [(one, 1) for one in known]


def issue_keys(register: Register, count: int = OWNERS) -> StoredKeys:
    """Issue two keys to each of *count* owners, and destroy the first of every third. The service has more keys."""
    stored_keys = StoredKeys(
        {owner: register.key(owner[0]).seal(b"kept", "here") for owner in of_the_service(register)}, []
    )
    for number in range(count):
        owner = Owner.subject(uuid4()) if number % 2 else Owner.grant(uuid4())
        for generation in (register.issue(owner), register.issue(owner)):
            stored_keys.sealed[owner, generation] = register.key(owner, generation).seal(b"kept", "here")
        if number % 3 == 0:
            register.drop_old_keys(owner, keep={2})
            del stored_keys.sealed[owner, 1]
            stored_keys.destroyed.append((owner, 1))
    register.store.checkpoint()
    return stored_keys


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 16)


@pytest.fixture
def stored_keys(root: Path) -> StoredKeys:
    with opened(root) as register:
        return issue_keys(register)


def keks(root: Path) -> set[str]:
    return {path.name for path in (root / "keys").iterdir() if "kek" in path.name}


def opened_by(kek: bytes, register: Path) -> int:
    """Count the keys of a register file that a key-encryption key opens, with AES alone."""
    aead, count = AESGCM(base64.b64decode(kek)), 0
    for owner, generation, wrapped in rows(register, "SELECT owner, generation, wrapped FROM keys"):
        try:
            aead.decrypt(wrapped[:12], wrapped[12:], f"key:{owner.hex()}:{generation}".encode())
            count += 1
        except InvalidTag:
            continue
    return count


def test_every_key_is_unchanged_and_under_the_new_one(root: Path, stored_keys: StoredKeys) -> None:
    told: list[tuple[int, int]] = []
    with opened(root) as register:
        before = register.keks.first.id
        done = rotate(register, progress=lambda *one: told.append(one))

        assert stored_keys.opens_in(register), "for a process that had it open"
    with opened(root) as register:
        assert stored_keys.opens_in(register), "and for one that opens it now"
        assert register.keks.first.id == done.kek_id != before
    living = len(stored_keys.sealed)
    assert done == RotationResult(done.kek_id, living, resumed=False, to_do=None)
    assert (told[-1], len(told)) == ((living, living), -(-living // 16))
    named = "SELECT kek_id FROM keys WHERE wrapped <> zeroblob(60) UNION SELECT kek_id FROM origin"
    assert rows(root / "keys" / "register.db", named) == [(done.kek_id,)]
    assert keks(root) == {"kek"}


def test_old_copies_of_the_register_are_useless_without_the_old_key(
    root: Path, stored_keys: StoredKeys, tmp_path: Path
) -> None:
    shutil.copytree(root / "keys", tmp_path / "copy")
    old, copy, register = (
        (root / "keys" / "kek").read_bytes(),
        tmp_path / "copy" / "register.db",
        root / "keys" / "register.db",
    )
    count = len(stored_keys.sealed)
    assert opened_by(old, register) == count
    turned(root)
    new = (root / "keys" / "kek").read_bytes()

    assert opened_by(new, copy) == 0
    assert opened_by(old, register) == 0
    assert opened_by(new, register) == count
    assert opened_by(old, copy) == count, (
        "an attacker who copied both before opens the copies, as docs/how-to/manage-keys.md states"
    )


def test_neither_the_old_key_nor_keys_under_it_are_in_any_file(root: Path) -> None:
    with opened(root) as register:
        stored_keys = issue_keys(register, 250)
        old = (root / "keys" / "kek").read_bytes()
        proof = rows(in_file(register.store).path, "SELECT proof FROM origin")[0][0]
        needles = Needles().raw("key of keys", old.strip(), base64.b64decode(old)).raw("proof", proof)
        living = [
            wrapped for (wrapped,) in rows(in_file(register.store).path, "SELECT wrapped FROM keys") if any(wrapped)
        ]
        needles.raw("wrapped", *living)
        before = set(needles.found(files_under(root / "keys")))
        with register.store.read() as reading:
            reading.execute(text("SELECT 1"))
        rotate(register)

        assert needles.found(files_under(root / "keys")) == []
        assert stored_keys.opens_in(register)
    assert len(living) == len(stored_keys.sealed)
    assert before >= {"key of keys in kek", "proof in register.db", "wrapped in register.db"}
    assert needles.found(files_under(root / "keys")) == []


def test_key_destroyed_while_it_is_wrapped_stays_destroyed(
    root: Path, stored_keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A withdrawal commits between the reading of the first batch and its writing."""
    owner, generation = next(one for one in stored_keys.sealed if one[1] == 2)
    destroyed: list[Owner] = []
    with opened(root) as register, opened(root) as service:
        found = register.keks.get

        def get(kek_id: str) -> Kek:
            if not destroyed and rows(root / "keys" / "register.db", "SELECT kek_id FROM origin") != [(kek_id,)]:
                destroyed.append(owner)
                service.destroy_key(owner, generation)
            return found(kek_id)

        monkeypatch.setattr(register.keks, "get", get)
        rotate(register)

        with pytest.raises(KeyGoneError):
            register.key(owner, generation)
    assert rows(root / "keys" / "register.db", "SELECT count(*) FROM keys WHERE wrapped = zeroblob(60)") == [
        (len(stored_keys.destroyed) + 1,)
    ]


# --- Interruptions


def test_blocked_checkpoint_stops_the_rotation_and_keeps_the_old_key(root: Path, stored_keys: StoredKeys) -> None:
    settings = settings_for(root).model_copy(update={"sqlite_busy_s": 0.2})
    old = (root / "keys" / "kek").read_bytes()
    with opened(root) as reader, reader.store.read() as session:
        session.execute(text("SELECT count(*) FROM keys")).all()
        with pytest.raises(RotationError, match="log could not be emptied"):
            turned(root, settings)
        held = (root / "keys" / "kek").read_bytes()
    with opened(root) as register:
        assert stored_keys.opens_in(register)
    done = turned(root, settings)

    assert held == old
    assert (done.resumed, done.keys_rewrapped) == (True, 0)
    assert keks(root) == {"kek"}


def test_full_disk_stops_the_rotation_and_loses_no_key(
    root: Path, stored_keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(root) as register:
        with full_disk(register.store), pytest.raises((RotationError, DBAPIError)):
            rotate(register)

        assert stored_keys.opens_in(register)
    begun = (root / "keys" / "kek.next").read_bytes()
    done = turned(root)

    assert done.resumed
    assert (root / "keys" / "kek").read_bytes() == begun
    with opened(root) as register:
        assert stored_keys.opens_in(register)


def test_disk_without_room_for_a_new_key_changes_nothing(
    root: Path, stored_keys: StoredKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = (root / "keys" / "kek").read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with opened(root) as register, monkeypatch.context() as patched:
        patched.setattr("app.vault.kek_file.os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            rotate(register)

        assert stored_keys.opens_in(register)
    assert ((root / "keys" / "kek").read_bytes(), keks(root)) == (old, {"kek"})


def test_key_that_does_not_open_stops_the_rotation_and_keeps_the_old_key(root: Path, stored_keys: StoredKeys) -> None:
    with opened(root) as register, register.store.write() as session:
        session.execute(text("UPDATE keys SET wrapped = randomblob(60) WHERE slot = 20"))
    old = (root / "keys" / "kek").read_bytes()

    for _ in range(2):
        with pytest.raises(RotationError, match="slot 20 of the register does not open"):
            turned(root)
    assert (root / "keys" / "kek").read_bytes() == old
    assert keks(root) == {"kek", "kek.next", "kek.old"}
    assert stored_keys.destroyed


def test_second_rotation_at_once_is_refused(root: Path, stored_keys: StoredKeys) -> None:
    with try_lock(root / "keys" / "rotation.lock"), pytest.raises(RotationError, match="another rotation is under way"):
        turned(root)
    assert not turned(root).resumed
    with opened(root) as register:
        assert stored_keys.opens_in(register)


# --- Settings


@dataclass(frozen=True)
class Secrets:
    """Two key-encryption keys, as in the environment."""

    old: str
    new: str


SECRETS = Secrets(*(base64.b64encode(letter * KEY_BYTES).decode() for letter in (b"o", b"n")))


@pytest.fixture
def by_setting(tmp_path: Path) -> tuple[Path, StoredKeys]:
    root = tmp_path / "by-setting"
    settings = settings_for(root, kek=SECRETS.old)
    with closing_vault(settings) as register:
        return root, issue_keys(register)


@contextmanager
def closing_vault(settings: Settings) -> Iterator[Register]:
    vault = open_vault(settings)
    prepare(vault, settings, Run.MIGRATE)
    with closing(vault.data), closing(vault.register.store):
        yield vault.register


@pytest.mark.service
def test_key_from_a_setting_is_rotated_to_the_next_setting(by_setting: tuple[Path, StoredKeys]) -> None:
    root, stored_keys = by_setting
    old, both, new = (
        settings_for(root, **given)
        for given in (
            {"kek": SECRETS.old},
            {"kek": SECRETS.old, "kek_next": SECRETS.new},
            {"kek": SECRETS.new},
        )
    )
    with pytest.raises(KekError, match="MIEN_KEK_NEXT"):
        turned(root, old)
    with opened(root, both) as running, opened(root, old) as forgotten:
        first, second = turned(root, both), turned(root, both)

        assert stored_keys.opens_in(running)
        with pytest.raises(UnknownKekError, match="if it was rotated, give the new one"):
            forgotten.key(*next(iter(stored_keys.sealed)))
        with pytest.raises(UnknownKekError):
            forgotten.issue(Owner.subject(uuid4()))
        with pytest.raises(UnknownKekError):
            forgotten.check_origin()
        late = issue_keys(running, 2)
    with opened(root, new) as register:
        assert stored_keys.opens_in(register)
        assert late.opens_in(register)
    assert first.to_do == "set MIEN_KEK to the value of MIEN_KEK_NEXT, drop MIEN_KEK_NEXT, and destroy the old value"
    assert (first.resumed, first.keys_rewrapped) == (False, len(stored_keys.sealed))
    assert (second.resumed, second.keys_rewrapped, second.kek_id) == (True, 0, first.kek_id)
    assert keks(root) == set()


@pytest.mark.service
def test_killed_rotation_to_a_setting_is_finished(by_setting: tuple[Path, StoredKeys], tmp_path: Path) -> None:
    root, stored_keys = by_setting
    both = {"kek": SECRETS.old, "kek_next": SECRETS.new}
    watched = shutil.copytree(root, tmp_path / "watched")
    steps = [step for _, step in steps_of(lambda: turned(watched, settings_for(watched, **both)))]

    for number in range(len(steps)):
        service = shutil.copytree(root, tmp_path / str(number))
        settings = settings_for(service, **both)
        killed_at(number, partial(turned, service, settings))
        with opened(service, settings) as register:
            assert stored_keys.opens_in(register), steps[number]
        turned(service, settings)
        with opened(service, settings_for(service, kek=SECRETS.new)) as register:
            assert stored_keys.opens_in(register), steps[number]
