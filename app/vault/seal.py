"""Authenticated encryption with AES-256-GCM of `cryptography`, bound to a context.

The context (table, column, row id) is authenticated, not stored: a value that is moved to another row, column or table
does not open.

The bytes of a key are in locked memory (`app/kit/process_memory.py`). Each operation gives them to the library anew,
which wipes its copy when the operation ends.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.kit.errors import OperatorError
from app.kit.process_memory import SecretBuffer

KEY_BYTES = 32
NONCE_BYTES = 12
"""96 bits, random; at most 2**32 seals under one key (NIST SP 800-38D, 8.3)."""
TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
"""Every wrapped key has this length, so that zeros can overwrite it in place."""


class SealError(Exception):
    """A sealed value does not open: another key, another context, or changed bytes. The error does not tell which."""


class KekError(OperatorError):
    """The key-encryption key is missing or malformed, or does not open the keys of the register."""


class Key:
    """One key. Only `padded` lets it leave this object."""

    __slots__ = ("_raw",)

    def __init__(self, raw: bytes | bytearray | memoryview | SecretBuffer) -> None:
        self._raw = raw if isinstance(raw, SecretBuffer) else SecretBuffer(raw)

    def seal(self, plaintext: bytes | SecretBuffer, context: str) -> bytes:
        """Encrypt *plaintext* for *context*. Returns nonce, ciphertext and tag: 28 bytes more."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        # The argument keeps a secret until the end of this call: it is wiped with its last reference.
        content = plaintext.view if isinstance(plaintext, SecretBuffer) else plaintext
        return nonce + AESGCM(self._raw.view).encrypt(nonce, content, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypt a value that `seal` made for the same *context*.

        Raises:
            SealError: it does not open.
        """
        try:
            return AESGCM(self._raw.view).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context.encode())
        except (InvalidTag, ValueError) as error:
            raise SealError from error

    def open_secret(self, sealed: bytes, context: str) -> SecretBuffer:
        """Decrypt a sealed key straight into locked memory.

        Raises:
            SealError: it does not open, or is no key.
        """
        secret = SecretBuffer()
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            AESGCM(self._raw.view).decrypt_into(nonce, rest, context.encode(), secret.view)
        except (InvalidTag, ValueError) as error:
            raise SealError from error
        return secret


class MacKey:
    """One key of HMAC-SHA-256, derived from *raw* for one use. Its bytes do not leave this object."""

    __slots__ = ("_key",)

    def __init__(self, raw: bytes, *, use: str) -> None:
        self._key = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=f"mien mac: {use}".encode()).derive(raw)

    def code(self, message: bytes) -> bytes:
        """Return the code of *message*: 32 bytes."""
        return hmac.digest(self._key, message, "sha256")

    def padded(self) -> str:
        """Return the inner and the outer key of HMAC in hexadecimal, for a database server that computes codes."""
        key = self._key.ljust(hashlib.sha256().block_size, b"\0")
        return "".join(bytes(byte ^ pad for byte in key).hex() for pad in (0x36, 0x5C))

    def fits(self, message: bytes, code: bytes) -> bool:
        """Return whether *code* is that of *message*."""
        return hmac.compare_digest(self.code(message), code)


class Kek:
    """A key-encryption key: wraps other keys. Its id reveals nothing of it."""

    def __init__(self, raw: bytes | bytearray | memoryview | SecretBuffer) -> None:
        secret = raw if isinstance(raw, SecretBuffer) else SecretBuffer(raw)
        digest = hashlib.sha256(b"mien kek")
        digest.update(secret.view)
        self.id = digest.hexdigest()[:16]
        self._key = Key(secret)

    def wrap_new(self, context: str) -> bytes:
        """Create a random key and return it wrapped."""
        secret = SecretBuffer()
        secret.fill_randomly()
        return self._key.seal(secret, context)

    def unwrap(self, wrapped: bytes, context: str) -> Key:
        """Return the key that was wrapped for *context*."""
        return Key(self._key.open_secret(wrapped, context))

    def unwrap_mac(self, wrapped: bytes, context: str, *, use: str) -> MacKey:
        """Return the key of one use, derived from the key that was wrapped for *context*."""
        return MacKey(self._key.open(wrapped, context), use=use)

    def rewrap(self, wrapped: bytes, context: str, *, under: "Kek") -> bytes:
        """Wrap a wrapped key under another key-encryption key, for the same *context*."""
        return next(self.rewrap_all([(wrapped, context)], under=under))

    def rewrap_all(self, keys: Collection[tuple[bytes, str]], *, under: "Kek") -> Iterator[bytes]:
        """Do as `rewrap` for many keys, and give both key-encryption keys to the library only once.

        Raises:
            SealError: the next key does not open.
        """
        old, new = (AESGCM(kek._key._raw.view) for kek in (self, under))  # noqa: SLF001 - of the same class
        secret, nonces = SecretBuffer(), secrets.token_bytes(NONCE_BYTES * len(keys))
        try:
            for number, (wrapped, context) in enumerate(keys):
                bound = context.encode()
                old.decrypt_into(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound, secret.view)
                nonce = nonces[NONCE_BYTES * number : NONCE_BYTES * (number + 1)]
                yield nonce + new.encrypt(nonce, secret.view, bound)
        except (InvalidTag, ValueError) as error:
            raise SealError from error
