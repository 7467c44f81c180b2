"""Where key-encryption keys are kept: in a file, or in settings. The register says which of them is in force.

By file: `kek`; while it is rotated, `kek.next` beside it and `kek.old`, a second name of the same file. Each appears
whole or not at all, and each change is durable before the next is made:

1. `kek.old` is linked to `kek`. Where that cannot be done the file cannot be replaced later either.
2. `kek.next` is made. From here on the rotation can only be finished.
3. (the register turns to it: `vault.rotation`)
4. `kek.next` is renamed to `kek`; `kek.old` is now the last name of the old one.
5. `kek.old` is overwritten with zeros, then removed.
"""

import base64
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.db.sqlite.files import synced
from app.kit.crash_points import step
from app.vault.seal import KEY_BYTES, Kek, KekError


class UnknownKekError(KekError):
    """A key is wrapped under a key-encryption key that is not available."""

    def __init__(self) -> None:
        super().__init__(
            "the key-encryption key is not the one that this register's keys are under; if it was rotated, give the "
            "new one (docs/how-to/manage-keys.md)"
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """A rotation, as its keys say it."""

    new: Kek
    resumed: bool
    """Whether it had begun before."""
    to_do: str | None = None
    """What is left to the operator when it is done."""


class Source(Protocol):
    """What holds the key-encryption keys."""

    def read(self) -> list[Kek]:
        """Return those at hand: the one to begin with, then the one that is rotated to, if any."""

    def begin(self, in_force: str) -> Turn:
        """Have a new key, or find the rotation that was interrupted."""

    def finish(self) -> None:
        """Let the new key take the place of the old, and destroy the old. No key is under it any more."""


class Ring:
    """The key-encryption keys at hand, by their ids."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.reload()

    def reload(self) -> None:
        """Read the available keys again, and forget those that are gone."""
        keks = self.source.read()
        self.first = keks[0]
        self._known = {kek_id: kek for kek in keks for kek_id in (kek.id, kek.id_of_0_1)}

    def get(self, kek_id: str) -> Kek:
        """Return one. What is not known may have been made meanwhile, by the command beside a running service.

        Raises:
            UnknownKekError: it is not at hand.
        """
        if (found := self._known.get(kek_id)) is not None:
            return found
        self.reload()
        if (found := self._known.get(kek_id)) is None:
            raise UnknownKekError
        return found


class Given:
    """Key-encryption keys from the settings MIEN_KEK and MIEN_KEK_NEXT."""

    def __init__(self, value: str, next_value: str | None) -> None:
        self._keks = [Kek(_decode(value, source="MIEN_KEK"))]
        if next_value is not None:
            self._keks.append(Kek(_decode(next_value, source="MIEN_KEK_NEXT")))

    def read(self) -> list[Kek]:
        """Return the keys that the settings contain."""
        return self._keks

    def begin(self, in_force: str) -> Turn:
        """Turn to MIEN_KEK_NEXT."""
        new = self._keks[-1]
        if new.id == self._keks[0].id:
            msg = (
                "the key-encryption key comes from MIEN_KEK: make a new one (head -c 32 /dev/urandom | base64), start "
                "the service with both, the new one as MIEN_KEK_NEXT, and rotate with both (docs/how-to/manage-keys.md)"
            )
            raise KekError(msg)
        to_do = "set MIEN_KEK to the value of MIEN_KEK_NEXT, drop MIEN_KEK_NEXT, and destroy the old value"
        return Turn(new, resumed=in_force == new.id, to_do=to_do)

    def finish(self) -> None:
        """Do nothing: only the operator knows where the old value is stored."""


class KekFile:
    """A key-encryption key in a file of its own."""

    def __init__(self, file: Path) -> None:
        # Keep a symbolic link: a rotation replaces and destroys the file that it points to.
        self.file = file.resolve()
        self._next, self._old, self._unnamed = (
            self.file.with_name(f"{self.file.name}.{ending}") for ending in ("next", "old", "tmp")
        )

    def make_first(self) -> None:
        """Make the key, unless there is one or was one."""
        if self.file.exists():
            return
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.file.parent, wait=True):
            if not any(one.exists() for one in (self.file, self._next, self._old)):
                self._make(self.file, "kek")

    def read(self) -> list[Kek]:
        """Return `kek`, and `kek.next` if it is there.

        In this order: if `kek.next` is not there any more, `kek` is what it was. `kek.old` opens nothing.
        """
        with suppress(KekError):
            return self._both()
        # It may have been replaced, and overwritten, between opening and reading.
        return self._both()

    def _both(self) -> list[Kek]:
        following = self._read(self._next)
        if (kek := self._read(self.file)) is None:
            msg = f"there is no key-encryption key: {self.file} is missing"
            raise KekError(msg)
        return [kek] if following is None else [kek, following]

    def begin(self, in_force: str) -> Turn:
        """Make `kek.next`, unless a rotation is under way."""
        kek = self.read()[-1]
        if self._next.exists():
            return Turn(kek, resumed=True)
        if self._old.exists() and not self._old.samefile(self.file):
            self._check_old(in_force)
            return Turn(kek, resumed=True)
        self._link_old()
        try:
            new = self._make(self._next, "kek.next")
        except OSError:
            with suppress(OSError):
                self._unnamed.unlink(missing_ok=True)
                self._old.unlink()
            raise
        return Turn(new, resumed=False)

    def finish(self) -> None:
        """Put `kek.next` in the place of `kek`, and destroy what was there."""
        if self._next.exists():
            self._link_old()
            step("kek to be replaced")
            self._next.rename(self.file)
            synced(self.file.parent)
            step("kek replaced")
        self._destroy_old()

    def _link_old(self) -> None:
        if self._old.exists():
            if not self._old.samefile(self.file):
                msg = f"{self._old} is in the way: it is another file. Move it elsewhere"
                raise KekError(msg)
            return
        try:
            self._old.hardlink_to(self.file)
        except OSError as error:
            msg = (
                f"{self.file} cannot be replaced where it lies ({error.strerror}); set MIEN_KEK to what is in it, and "
                "rotate from there to MIEN_KEK_NEXT (docs/how-to/manage-keys.md)"
            )
            raise KekError(msg) from error
        step("kek.old linked")

    def _destroy_old(self) -> None:
        """Leave nothing of it in the file's own blocks; what a drive or a snapshot keeps is out of reach."""
        if not self._old.exists():
            return
        if self._old.samefile(self.file):
            msg = f"{self._old} is the key in force"
            raise KekError(msg)
        with self._old.open("r+b") as stream:
            stream.write(bytes(self._old.stat().st_size))
            stream.flush()
            os.fsync(stream.fileno())
        step("kek.old overwritten")
        self._old.unlink()
        synced(self._old.parent)
        step("kek.old removed")

    def _make(self, file: Path, name: str) -> Kek:
        """Make a random key in *file*: under another name first, so that no half of it is ever found."""
        raw = secrets.token_bytes(KEY_BYTES)
        self._unnamed.unlink(missing_ok=True)
        descriptor = os.open(self._unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64encode(raw) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        step(f"{name} written")
        self._unnamed.rename(file)
        synced(file.parent)
        step(f"{name} made")
        return Kek(raw)

    def _read(self, file: Path) -> Kek | None:
        try:
            with file.open("rb") as stream:
                if os.fstat(stream.fileno()).st_mode & 0o077:
                    msg = f"{file} may be read by others; make it readable by its owner only (chmod 600)"
                    raise KekError(msg)
                return Kek(_decode(stream.read(), source=str(file)))
        except FileNotFoundError:
            return None

    def _check_old(self, in_force: str) -> None:
        """Refuse to destroy what a rotation would not have left as `kek.old`."""
        content = self._old.read_bytes()
        with suppress(KekError):
            if not content.strip(b"\0") or Kek(_decode(content, source="")).id != in_force:
                return
        msg = f"{self._old} is in the way: no rotation left it. Move it elsewhere"
        raise KekError(msg)


@contextmanager
def locked(directory: Path, *, wait: bool) -> Iterator[None]:
    """Be the only one in *directory*. The system takes the lock back from a process that dies.

    Raises:
        BlockingIOError: somebody else is, and this is not to wait.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _decode(text: str | bytes, *, source: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        msg = f"{source} does not hold {KEY_BYTES} bytes in base64 (make one: head -c 32 /dev/urandom | base64)"
        raise KekError(msg)
    return raw
