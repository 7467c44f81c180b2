"""Signed tokens of Mien: compact JWS with Ed25519 and a header of exactly three members.

* `alg` is `EdDSA`: the token cannot choose how it is verified.
* `kid` is the thumbprint (RFC 7638) of the key. A key inside the token is refused.
* `typ` is the kind of the payload, so that a promise never passes for a receipt.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import EdDSAAlgorithm, JWSAlgModel
from joserfc.jwk import OKPKey
from pydantic import ValidationError

from app.transparency.verify.canonical_json import (
    Bytes32,
    StrictModel,
    decode_base64url,
    encode_base64url,
    encode_json,
    parse_json,
)

RECEIPT_TYPE: Final = "mien-receipt+jws"
PROMISE_TYPE: Final = "mien-promise+jws"
EVENT_TYPE: Final = "mien-event+jws"
PARTS = 3
MAX_TOKEN_CHARS = 128_000


class JwsError(ValueError):
    """The text is not a token signed by that key. The message says why."""


EDDSA = EdDSAAlgorithm()


class _OnlyEdDSA(jws.JWSRegistry):
    """A registry with EdDSA only.

    joserfc warns that RFC 9864 renames it `Ed25519`. Verifiers in use today know the old name.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return EdDSA, or raise."""
        if name != EDDSA.name:
            raise UnsupportedAlgorithmError(name)
        return EDDSA


ONLY_EDDSA = _OnlyEdDSA(algorithms=["EdDSA"])


class Header(StrictModel):
    """The whole protected header."""

    alg: Literal["EdDSA"]
    kid: Bytes32
    typ: Literal["mien-receipt+jws", "mien-promise+jws", "mien-event+jws"]


@dataclass(frozen=True, slots=True)
class ParsedToken:
    """A token that is parsed, but not yet verified."""

    text: str
    header: Header


def thumbprint(key: bytes) -> str:
    """Return the thumbprint (RFC 7638) of a raw Ed25519 public key: its `kid` and its fingerprint."""
    return encode_base64url(hashlib.sha256(encode_json(_public(key))).digest())


def sign_token(payload: bytes, *, typ: str, key: Ed25519PrivateKey) -> str:
    """Sign *payload*.

    Raises:
        JwsError: the token would be longer than `read_token` accepts.
    """
    public = key.public_key().public_bytes_raw()
    header = {"alg": "EdDSA", "kid": thumbprint(public), "typ": typ}
    private = {"d": encode_base64url(key.private_bytes_raw()), **_public(public)}
    text = jws.serialize_compact(header, payload, OKPKey.import_key(private), registry=ONLY_EDDSA)
    if len(text) > MAX_TOKEN_CHARS:
        raise JwsError("the token is too long")
    return text


def read_token(text: str) -> ParsedToken:
    """Parse the header of a token, which names the key to verify it with.

    Raises:
        JwsError: the text is not a token of Mien.
    """
    parts = text.split(".")
    if len(parts) != PARTS or len(text) > MAX_TOKEN_CHARS:
        raise JwsError("it is not a compact JWS")
    try:
        header, *_ = [decode_base64url(part) for part in parts]
        return ParsedToken(text, Header.model_validate(parse_json(header)))
    except ValidationError as error:
        raise JwsError("its header is not one of Mien's: exactly alg (EdDSA), kid and a known typ") from error
    except ValueError as error:
        raise JwsError(f"it cannot be read ({error})") from error


def verify_token(token: ParsedToken, *, typ: str, key: Ed25519PublicKey) -> bytes:
    """Verify the signature of a token, and return its payload.

    Raises:
        JwsError: the token has another type, another key signed it, or it was changed.
    """
    if token.header.typ != typ:
        raise JwsError(f"it was signed as {token.header.typ}, not as {typ}")
    try:
        public = OKPKey.import_key(_public(key.public_bytes_raw()))
        return jws.deserialize_compact(token.text, public, registry=ONLY_EDDSA).payload
    except (JoseError, ValueError) as error:
        raise JwsError("its signature is wrong: it was changed after signing, or another key signed it") from error


def _public(key: bytes) -> dict[str, str | list[str]]:
    return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(key)}
