"""A key-encryption key file is complete or absent, readable by its owner only, and never replaces a lost one."""

import base64
import os
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings
from app.vault.kek_file import KekFile
from app.vault.key_encryption_keys import AvailableKeks, KekSettings, UnknownKekError
from app.vault.open import check, open_vault
from app.vault.seal import KEY_BYTES, Kek, KekError
from tests.support.service_fixture import settings_for
from tests.vault.killed_process import killed_at, steps_of


def spelled(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def test_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "kek"
    KekFile(file).make_first()
    (first,) = KekFile(file).read()
    KekFile(file).make_first()
    (second,) = KekFile(file).read()

    assert first.id == second.id
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert len(base64.b64decode(file.read_text())) == KEY_BYTES
    assert [path.name for path in file.parent.iterdir()] == ["kek"]


@pytest.mark.service
def test_first_start_killed_at_any_step_leaves_no_incomplete_key(tmp_path: Path) -> None:
    names = steps_of(KekFile(tmp_path / "watched" / "kek").make_first)

    assert [name for _, name in names] == ["kek written", "kek made"]
    for number in range(len(names)):
        file = tmp_path / str(number) / "kek"
        killed_at(number, KekFile(file).make_first)
        assert not file.exists() or len(KekFile(file).read()) == 1, "never half of one"
        KekFile(file).make_first()

        assert len(KekFile(file).read()) == 1
        assert [path.name for path in file.parent.iterdir()] == ["kek"]


@pytest.mark.parametrize("name", ["kek", "kek.next"])
def test_key_file_that_others_may_read_is_refused(tmp_path: Path, name: str) -> None:
    file = KekFile(tmp_path / "kek")
    file.make_first()
    (tmp_path / name).write_text(spelled(b"n" * KEY_BYTES))
    (tmp_path / name).chmod(0o640)

    with pytest.raises(KekError, match=rf"{name} may be read by others.*chmod 600"):
        file.read()


@pytest.mark.parametrize("value", ["", "short", spelled(b"x" * 31), "!" * 44])
def test_malformed_key_is_refused_without_being_shown(value: str) -> None:
    good = spelled(b"x" * KEY_BYTES)
    for values, name in (((value, good), "MIEN_KEK "), ((good, value), "MIEN_KEK_NEXT ")):
        with pytest.raises(KekError, match=name) as refused:
            KekSettings(*values)

        assert not value or value not in str(refused.value)


def test_next_key_without_a_first_is_refused() -> None:
    with pytest.raises(ValueError, match="MIEN_KEK_NEXT needs MIEN_KEK"):
        Settings(kek_next=SecretStr(spelled(b"x" * KEY_BYTES)))


def test_unknown_key_is_looked_up_again(tmp_path: Path) -> None:
    file = KekFile(tmp_path / "kek")
    file.make_first()
    ring = AvailableKeks(KekFile(tmp_path / "kek"))
    old = ring.first
    new = file.begin(old.id).new

    assert ring.get(new.id).id == new.id
    assert ring.get(old.id).id == old.id
    file.finish()
    ring.reload()
    assert ring.first.id == new.id
    with pytest.raises(UnknownKekError):
        ring.get(old.id)


def test_reading_while_the_key_is_replaced_returns_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole replacement happens between the reads of the two files."""
    file, other = KekFile(tmp_path / "kek"), KekFile(tmp_path / "kek")
    file.make_first()
    new = file.begin(file.read()[0].id).new
    read = KekFile._read

    def slowly(self: KekFile, path: Path) -> Kek | None:
        found = read(self, path)
        if self is file:
            other.finish()
        return found

    monkeypatch.setattr(KekFile, "_read", slowly)
    assert new.id in {kek.id for kek in file.read()}


def test_lost_key_is_not_replaced_by_another(root: Path) -> None:
    """The key may be in another place; a new key would hide that."""
    (root / "keys" / "kek").unlink()

    with pytest.raises(KekError, match="there is no key-encryption key"):
        open_vault(settings_for(root))
    assert not (root / "keys" / "kek").exists()


def test_key_in_a_file_of_another_name_elsewhere_is_replaced_there(tmp_path: Path) -> None:
    """Also through a symbolic link: the file is destroyed, and the link stays."""
    real, link = tmp_path / "volume" / "secret", tmp_path / "link"
    KekFile(real).make_first()
    link.symlink_to(real)
    file = KekFile(link)
    old = real.read_bytes()
    with real.open("rb") as kept_open:
        new = file.begin(file.read()[0].id).new
        during = {path.name for path in real.parent.iterdir()}
        file.finish()
        destroyed = kept_open.read()

    assert during == {"secret", "secret.next", "secret.old"}
    assert [path.name for path in real.parent.iterdir()] == ["secret"]
    assert link.is_symlink()
    assert KekFile(link).read()[0].id == new.id
    assert (len(destroyed), set(destroyed)) == (len(old), {0})


@pytest.mark.parametrize("content", ["notes of the operator", None])
def test_file_that_no_rotation_left_is_not_destroyed(tmp_path: Path, content: str | None) -> None:
    """A file of the operator's own, or their copy of the key in force."""
    file = KekFile(tmp_path / "kek")
    file.make_first()
    mine = (content or (tmp_path / "kek").read_text()).encode()
    (tmp_path / "kek.old").write_bytes(mine)

    with pytest.raises(KekError, match=r"kek\.old is in the way"):
        file.begin(file.read()[0].id)
    assert (tmp_path / "kek.old").read_bytes() == mine
    assert not (tmp_path / "kek.next").exists()


def test_file_in_an_unwritable_directory_is_refused_before_any_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with a file that is mounted by itself, or a file system without hard links."""
    file = KekFile(tmp_path / "kek")
    file.make_first()

    def refuse(*_given: object, **_named: object) -> None:
        raise OSError(18, os.strerror(18))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(KekError, match="cannot be replaced in its directory"):
        file.begin(file.read()[0].id)
    assert [path.name for path in tmp_path.iterdir()] == ["kek"]


@pytest.mark.service
def test_key_from_the_settings_opens_a_store_made_with_it(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, kek=spelled(b"k" * KEY_BYTES))
    first, second = open_vault(settings), open_vault(settings)

    assert first.register.keks.first.id == second.register.keks.first.id
    assert not (tmp_path / "keys" / "kek").exists()
    with pytest.raises(Exception, match="mien migrate"):
        check(first)
