"""The public keys as they are published (`/.well-known/jwks.json`), read without believing more than has to be."""

from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from app.transparency.verify.canonical_json import Bytes32, decode_base64url, describe_validation_error, parse_json
from app.transparency.verify.jws import thumbprint

MAX_JWKS_BYTES = 4 * 1024 * 1024
"""Bytes of a key set: some ten thousand keys."""
Seconds = Annotated[int, Field(ge=0)]
"""Since 1970, as JOSE counts."""


class JwksError(ValueError):
    """The keys cannot be used; the text says why."""


class Revoked(BaseModel):
    """That a key was stolen. Other members may be there; without these the key cannot be used at all."""

    model_config = ConfigDict(frozen=True, strict=True)

    revoked_at: Seconds
    reason: str
    log_size: Annotated[int, Field(ge=0)]
    """What the key signed holds if it is in the log before this index, and only then."""


class PublicKey(BaseModel):
    """One key of Mien. What others put beside it is theirs (RFC 7517, 4)."""

    model_config = ConfigDict(frozen=True, strict=True)

    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: Bytes32
    kid: Bytes32
    use: Literal["sig"]
    alg: Literal["EdDSA"]
    iat: Seconds
    mien_signs: Literal["receipts", "checkpoints", "events"]
    mien_origin: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    """The log whose checkpoints it signs."""
    exp: Seconds | None = None
    """When it was retired. What it signed still holds."""
    revoked: Revoked | None = None

    @model_validator(mode="after")
    def is_what_it_is_called(self) -> Self:
        """Refuse a key under another key's name, and a log's key without a log."""
        if thumbprint(decode_base64url(self.x)) != self.kid:
            raise ValueError("the kid is not its thumbprint")
        if (self.mien_signs == "checkpoints") != (self.mien_origin is not None):
            raise ValueError("mien_origin goes with the keys that sign checkpoints")
        return self

    @property
    def key(self) -> Ed25519PublicKey:
        """Return the key itself."""
        return Ed25519PublicKey.from_public_bytes(decode_base64url(self.x))


class _KeySet(BaseModel):
    keys: list[dict[str, JsonValue]]


def parse_jwks(text: bytes) -> dict[str, PublicKey]:
    """Return the keys of Mien in a key set, by `kid`. Keys of others are passed over.

    Raises:
        JwksError: it is no key set, or a key of Mien in it is not as Mien publishes it.
    """
    if len(text) > MAX_JWKS_BYTES:
        raise JwksError("the key file is too large to be one of Mien")
    try:
        found = _KeySet.model_validate(parse_json(text))
        keys = [PublicKey.model_validate(key) for key in found.keys if "mien_signs" in key]
    except ValueError as error:
        what = describe_validation_error(error) if isinstance(error, ValidationError) else error
        raise JwksError(
            f"the key file is no JWKS of Mien ({what}); get it again from /.well-known/jwks.json"
        ) from error
    by_kid = {key.kid: key for key in keys}
    if len(by_kid) < len(keys):
        raise JwksError("the key file names a key twice; get it again from /.well-known/jwks.json")
    return by_kid
