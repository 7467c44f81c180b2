"""Authenticated encryption with a bound context: a sealed value opens in its own place only.

The primitive is AES-256-GCM of `cryptography`. The context (table, column, row id) is authenticated, not stored: a
value moved to another row, column or table does not open.
"""

import hashlib
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

KEY_BYTES = 32
NONCE_BYTES = 12
"""96 bits, random; at most 2**32 seals under one key (NIST SP 800-38D, 8.3)."""


TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
"""Every wrapped key has this length: zeros can be written over it in its place."""


class SealError(Exception):
    """A sealed value does not open: another key, another place, or changed bytes. Says nothing of the three."""


class KekError(Exception):
    """The key-encryption key is missing, malformed or not the one that the register's keys are under."""


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
        """Decrypt a value that `seal` made for the same *context*.

        Raises:
            SealError: it was not.
        """
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError from error


class Kek:
    """A key-encryption key: wraps other keys. Known by an id from which nothing of it can be learnt."""

    def __init__(self, raw: bytes) -> None:
        self.id = hashlib.sha256(b"mien kek" + raw).hexdigest()[:16]
        self.id_of_0_1 = hashlib.sha256(b"mien kek id" + raw).hexdigest()[:16]
        """The id that version 0.1 used. It bound keys to their owner's id, which the register does not hold."""
        self._raw = raw
        self._key = Key(raw)

    def wrap_new(self, context: str) -> bytes:
        """Make a random key and return it wrapped."""
        return self._key.seal(secrets.token_bytes(KEY_BYTES), context)

    def unwrap(self, wrapped: bytes, context: str) -> Key:
        """Return the key that was wrapped for *context*."""
        return Key(self._key.open(wrapped, context))

    def rewrap(self, wrapped: bytes, context: str, *, under: "Kek") -> bytes:
        """Return the key that was wrapped for *context* wrapped under another, for the same."""
        return under._key.seal(self._key.open(wrapped, context), context)  # noqa: SLF001 - of the same class

    def rewrap_of_0_1(self, wrapped: bytes, context: str, *, under: "Kek") -> bytes:
        """Do as `rewrap` with a key that version 0.1 wrapped, for a context that nobody here can spell.

        So its tag cannot be checked: GCM is counter mode, counting from 2, and then a tag. A key that was changed or
        moved is found out when something does not open with it, as that is bound to its own place.
        """
        counted = CTR(wrapped[:NONCE_BYTES] + (2).to_bytes(4, "big"))
        raw = Cipher(AES256(self._raw), counted).decryptor().update(wrapped[NONCE_BYTES:-TAG_BYTES])
        return under._key.seal(raw, context)  # noqa: SLF001 - of the same class
