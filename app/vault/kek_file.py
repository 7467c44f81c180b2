"""The key-encryption key (KEK) in a file of its own.

A rotation of the file `kek` uses two more names: `kek.next` for the new key, and `kek.old`, a hard link to the old one.
A key file appears whole or not at all, and each step is durable before the next:

1. Link `kek.old` to `kek`. Where that is impossible, the file could not be replaced later either.
2. Create `kek.next`. From now on the rotation can only be finished.
3. Rotate the register (`vault.rotation`).
4. Rename `kek.next` to `kek`; `kek.old` is now the last name of the old key.
5. Overwrite `kek.old` with zeros, then remove it.
"""

import os
from contextlib import suppress
from pathlib import Path

from app.kit.crash_points import step
from app.kit.files import destroy_file, fsync, open_regular, read_limited
from app.kit.process_memory import SecretBuffer, wipe
from app.vault.directory_lock import locked
from app.vault.key_encryption_keys import KekRotation, decode_key, encode_key
from app.vault.seal import Kek, KekError

MAX_BYTES = 4096
"""Bytes of a key file that are read; a key has 44."""


class KekFile:
    """A key-encryption key in a file of its own."""

    def __init__(self, file: Path) -> None:
        # If it is a symbolic link, a rotation replaces and destroys the file that it points to.
        self.file = file.resolve()
        self._next, self._old, self._temporary = (
            self.file.with_name(f"{self.file.name}.{ending}") for ending in ("next", "old", "tmp")
        )

    def make_first(self) -> None:
        """Create the key, unless one exists or existed."""
        if self.file.exists():
            return
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.file.parent):
            if not any(file.exists() for file in (self.file, self._next, self._old)):
                self._make(self.file, "kek")

    @property
    def interrupted(self) -> bool:
        """Whether a file of a rotation is left."""
        return self._next.exists() or self._old.exists()

    def read(self) -> list[Kek]:
        """Return `kek` and, if it exists, `kek.next`. No key of the register opens with `kek.old`."""
        with suppress(KekError):
            return self._read_both()
        # A rotation may have replaced and overwritten the file between opening and reading.
        return self._read_both()

    def _read_both(self) -> list[Kek]:
        # In this order: a `kek.next` that is gone has become `kek`.
        following = self._read(self._next)
        if (kek := self._read(self.file)) is None:
            msg = f"there is no key-encryption key: {self.file} is missing"
            raise KekError(msg)
        return [kek] if following is None else [kek, following]

    def begin(self, in_force: str) -> KekRotation:
        """Create `kek.next`, unless a rotation was interrupted."""
        kek = self.read()[-1]
        if self._next.exists():
            return KekRotation(kek, resumed=True)
        if self._old.exists() and not self._old.samefile(self.file):
            self._check_old(in_force)
            return KekRotation(kek, resumed=True)
        self._link_old()
        try:
            new = self._make(self._next, "kek.next")
        except OSError:
            with suppress(OSError):
                self._temporary.unlink(missing_ok=True)
                self._old.unlink()
            raise
        return KekRotation(new, resumed=False)

    def finish(self) -> None:
        """Rename `kek.next` to `kek`, and destroy the old key."""
        if self._next.exists():
            self._link_old()
            step("kek to be replaced")
            self._next.rename(self.file)
            fsync(self.file.parent)
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
                f"{self.file} cannot be replaced in its directory ({error.strerror}); set MIEN_KEK to its content, and "
                "rotate from there to MIEN_KEK_NEXT (docs/how-to/manage-keys.md)"
            )
            raise KekError(msg) from error
        step("kek.old linked")

    def _destroy_old(self) -> None:
        if not self._old.exists():
            return
        if self._old.samefile(self.file):
            msg = f"{self._old} is the key in force"
            raise KekError(msg)
        destroy_file(self._old)

    def _make(self, file: Path, name: str) -> Kek:
        """Create a random key in *file*, under a temporary name first, so that *file* is never incomplete."""
        secret = SecretBuffer()
        secret.fill_randomly()
        text = encode_key(secret)
        self._temporary.unlink(missing_ok=True)
        with open_regular(self._temporary, "xb") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        wipe(text)
        step(f"{name} written")
        self._temporary.rename(file)
        fsync(file.parent)
        step(f"{name} made")
        return Kek(secret)

    def _read(self, file: Path) -> Kek | None:
        try:
            with open_regular(file) as stream:
                if os.fstat(stream.fileno()).st_mode & 0o077:
                    msg = f"{file} may be read by others; make it readable by its owner only (chmod 600)"
                    raise KekError(msg)
                text = bytearray(MAX_BYTES)
                length = stream.readinto(text)  # type: ignore[attr-defined]
                kek = Kek(decode_key(memoryview(text)[:length], source=str(file)))
                wipe(text)
                return kek
        except FileNotFoundError:
            return None

    def _check_old(self, in_force: str) -> None:
        """Refuse to destroy a `kek.old` that no rotation left."""
        content = read_limited(self._old, max_bytes=MAX_BYTES, follow=False)
        with suppress(KekError):
            if not content.strip(b"\0") or Kek(decode_key(content, source="")).id != in_force:
                return
        msg = f"{self._old} is in the way: no rotation left it. Move it elsewhere"
        raise KekError(msg)
