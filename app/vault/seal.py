"""Authenticated encryption with a bound context: a sealed value opens in its own place only.

The primitive is AES-256-GCM of `cryptography`. The context (table, column, row id) is authenticated, not stored: a
value moved to another row, column or table does not open.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
"""96 bits, random; at most 2**32 seals under one key (NIST SP 800-38D, 8.3)."""


TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
"""Every wrapped key has this length: zeros can be written over it in its place."""


class SealError(Exception):
    """A sealed value does not open: another key, another place, or changed bytes. Says nothing of the three."""


class KekError(Exception):
    """The key-encryption key is missing, malformed or not the one that the register was made with."""


class Key:
    """One key; its bytes do not leave this object."""

    __slots__ = ("_aead",)

    def __init__(self, raw: bytes) -> None:
        self._aead = AESGCM(raw)

    def seal(self, plaintext: bytes, context: str) -> bytes:
        """Encrypt *plaintext* for the place *context*: nonce, then ciphertext and tag (28 bytes more)."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt what `seal` made for the same *context*.

        Raises:
            SealError: it was not.
        """
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError from error


class Kek:
    """The key-encryption key: wraps every other key."""

    def __init__(self, raw: bytes) -> None:
        self.id = hashlib.sha256(b"mien kek id" + raw).hexdigest()[:16]
        self._key = Key(raw)

    def wrap_new(self, context: str) -> bytes:
        """Make a random key and return it wrapped."""
        return self._key.seal(secrets.token_bytes(KEY_BYTES), context)

    def unwrap(self, wrapped: bytes, context: str) -> Key:
        """Return the key that was wrapped for *context*."""
        return Key(self._key.open(wrapped, context))


def load_kek(*, value: str | None, file: Path) -> Kek:
    """Take the key-encryption key from *value* (base64) or else from *file*, which is made if it is not there.

    Raises:
        KekError: it is not 32 bytes in base64, or others may read the file.
    """
    if value is not None:
        return Kek(_decode(value, source="MIEN_KEK"))
    if not file.exists():
        _make(file)
    if file.stat().st_mode & 0o077:
        msg = f"{file} may be read by others; make it readable by its owner only (chmod 600)"
        raise KekError(msg)
    return Kek(_decode(file.read_bytes(), source=str(file)))


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
        stream.flush()
        os.fsync(stream.fileno())


def _decode(text: str | bytes, *, source: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        raw = b""
    if len(raw) != KEY_BYTES:
        msg = f"{source} does not hold {KEY_BYTES} bytes in base64 (make one: head -c 32 /dev/urandom | base64)"
        raise KekError(msg)
    return raw
