"""Sources of key-encryption keys (KEKs): a file, or settings. The register records which KEK is in force."""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from app.kit.process_memory import SecretBuffer
from app.kit.text import to_utf8
from app.vault.seal import KEY_BYTES, Kek, KekError

_ENCODED_BYTES = 44
"""32 bytes in base64."""


class UnknownKekError(KekError):
    """A key is wrapped under a key-encryption key that is not available."""

    def __init__(self) -> None:
        super().__init__(
            "the key-encryption key does not open the keys of this register; if it was rotated, give the new one "
            "(docs/how-to/manage-keys.md)"
        )


@dataclass(frozen=True, slots=True)
class KekRotation:
    """A rotation that has begun."""

    new: Kek
    resumed: bool
    """Whether an earlier call began it."""
    to_do: str | None = None
    """The work that is left to the operator."""


class KekSource(Protocol):
    """A source of key-encryption keys."""

    @property
    def interrupted(self) -> bool:
        """Whether a rotation began that did not finish."""

    def read(self) -> list[Kek]:
        """Return the present key and, during a rotation, the new one."""

    def begin(self, in_force: str) -> KekRotation:
        """Create a new key, or find the rotation that was interrupted."""

    def finish(self) -> None:
        """Replace the old key by the new one and destroy the old one, under which no key is wrapped any more."""


class AvailableKeks:
    """The available key-encryption keys, by their ids."""

    def __init__(self, source: KekSource) -> None:
        self.source = source
        self.reload()

    def reload(self) -> None:
        """Read the available keys again, and forget those that are gone."""
        keks = self.source.read()
        self.first = keks[0]
        self._by_id = {kek.id: kek for kek in keks}

    def get(self, kek_id: str) -> Kek:
        """Return one key.

        Raises:
            UnknownKekError: it is not available.
        """
        if kek_id not in self._by_id:
            # A command beside the service may have created it.
            self.reload()
        if (kek := self._by_id.get(kek_id)) is None:
            raise UnknownKekError
        return kek


class KekSettings:
    """Key-encryption keys from the settings MIEN_KEK and MIEN_KEK_NEXT."""

    def __init__(self, value: str, next_value: str | None) -> None:
        self._keks = [Kek(decode_key(value, source="MIEN_KEK"))]
        if next_value is not None:
            self._keks.append(Kek(decode_key(next_value, source="MIEN_KEK_NEXT")))

    @property
    def interrupted(self) -> bool:
        """False: only the operator can tell."""
        return False

    def read(self) -> list[Kek]:
        """Return the keys from the settings."""
        return self._keks

    def begin(self, in_force: str) -> KekRotation:
        """Rotate to MIEN_KEK_NEXT."""
        new = self._keks[-1]
        if new.id == self._keks[0].id:
            msg = (
                "the key-encryption key comes from MIEN_KEK: make a new one (head -c 32 /dev/urandom | base64), start "
                "the service with both, the new one as MIEN_KEK_NEXT, and rotate with both (docs/how-to/manage-keys.md)"
            )
            raise KekError(msg)
        to_do = "set MIEN_KEK to the value of MIEN_KEK_NEXT, drop MIEN_KEK_NEXT, and destroy the old value"
        return KekRotation(new, resumed=in_force == new.id, to_do=to_do)

    def finish(self) -> None:
        """Do nothing: only the operator knows where the old value is stored."""


def decode_key(text: str | bytes | memoryview, *, source: str) -> SecretBuffer:
    """Decode a key straight into locked memory: only pieces of three bytes are left elsewhere."""
    encoded = memoryview(text.encode() if isinstance(text, str) else text)
    if encoded[_ENCODED_BYTES:].tobytes() == b"\n":
        encoded = encoded[:_ENCODED_BYTES]
    elif len(encoded) != _ENCODED_BYTES:
        # A file that an editor wrote. Its text is short-lived, but not wiped.
        encoded = memoryview(to_utf8(bytes(encoded)).strip())
    secret = SecretBuffer()
    try:
        for number, piece in enumerate(_pieces(encoded, 4)):
            secret.view[3 * number : 3 * number + 3] = binascii.a2b_base64(piece, strict_mode=True)
        complete = len(encoded) == _ENCODED_BYTES
    except ValueError:
        complete = False
    if not complete:
        msg = f"{source} does not hold {KEY_BYTES} bytes in base64 (make one: head -c 32 /dev/urandom | base64)"
        raise KekError(msg)
    return secret


def encode_key(secret: SecretBuffer) -> bytearray:
    """Return the key in base64, with the end of its line."""
    text = bytearray(_ENCODED_BYTES + 1)
    for number, piece in enumerate(_pieces(secret.view, 3)):
        text[4 * number : 4 * number + 4] = binascii.b2a_base64(piece, newline=False)
    text[-1:] = b"\n"
    return text


def _pieces(whole: memoryview, size: int) -> Iterator[memoryview]:
    return (whole[at : at + size] for at in range(0, len(whole), size))
