"""The published key set (`/.well-known/jwks.json`), parsed and checked."""

from typing import Annotated, Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from app.transparency.verify.canonical_json import Bytes32, decode_base64url, describe_validation_error, parse_json
from app.transparency.verify.jws import thumbprint

MAX_JWKS_BYTES = 4 * 1024 * 1024
"""Room for some ten thousand keys."""
Seconds = Annotated[int, Field(ge=0)]
"""Seconds since 1970, as in JOSE."""


class Revoked(BaseModel):
    """The report that a key was stolen. Other members are allowed."""

    model_config = ConfigDict(frozen=True, strict=True)

    revoked_at: Seconds
    reason: str
    log_size: Annotated[int, Field(ge=0)]
    """A receipt of this key is valid only if its index in the transparency log is below this number."""


class PublicKey(BaseModel):
    """One key of Mien. Other members are allowed and ignored (RFC 7517, 4)."""

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
    """The transparency log whose checkpoints the key signs."""
    exp: Seconds | None = None
    """The time at which the key was retired. Its signatures stay valid."""
    revoked: Revoked | None = None

    @model_validator(mode="after")
    def matches_its_name(self) -> Self:
        """Refuse the kid of another key, and a checkpoint key without a log."""
        if thumbprint(decode_base64url(self.x)) != self.kid:
            raise ValueError("the kid is not its thumbprint")
        if (self.mien_signs == "checkpoints") != (self.mien_origin is not None):
            raise ValueError("mien_origin goes with the keys that sign checkpoints")
        return self

    @property
    def key(self) -> Ed25519PublicKey:
        """The Ed25519 key in *x*."""
        return Ed25519PublicKey.from_public_bytes(decode_base64url(self.x))


class _KeySet(BaseModel):
    keys: list[dict[str, JsonValue]]


def parse_jwks(text: bytes) -> dict[str, PublicKey]:
    """Parse a key set, and return the keys of Mien by `kid`. Other keys are ignored.

    Raises:
        ValueError: the text is not a key set, or a key of Mien in it is malformed.
    """
    if len(text) > MAX_JWKS_BYTES:
        raise ValueError("the key file is too large to be one of Mien's")
    try:
        key_set = _KeySet.model_validate(parse_json(text))
        keys = [PublicKey.model_validate(key) for key in key_set.keys if "mien_signs" in key]
    except ValueError as error:
        fault = describe_validation_error(error) if isinstance(error, ValidationError) else error
        raise ValueError(
            f"the key file is not a key set of Mien ({fault}); download it again from /.well-known/jwks.json"
        ) from error
    by_kid = {key.kid: key for key in keys}
    if len(by_kid) < len(keys):
        raise ValueError("the key file names a key twice; download it again from /.well-known/jwks.json")
    return by_kid
