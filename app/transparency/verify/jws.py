"""JWS as Mien writes it, and no other: compact, Ed25519, with a header of exactly three members.

* `alg` is `EdDSA`; nothing in the token chooses how it is verified.
* `kid` is the thumbprint (RFC 7638) of the key; a key that the token brings along is not even looked at.
* `typ` says what was signed, so that a promise never passes for a receipt.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.errors import JoseError, UnsupportedAlgorithmError
from joserfc.jwa import EdDSAAlgorithm, JWSAlgModel
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, ValidationError

from app.transparency.verify.canonical_json import Bytes32, decode_base64url, encode_base64url, encode_json, parse_json

RECEIPT_TYPE: Final = "mien-receipt+jws"
PROMISE_TYPE: Final = "mien-promise+jws"
EVENT_TYPE: Final = "mien-event+jws"
PARTS = 3
LARGEST = 128_000
"""Characters of the longest token."""


class JwsError(ValueError):
    """It is no token that Mien signed with that key; the text says what is wrong with it."""


EDDSA = EdDSAAlgorithm()


class _OnlyEdDSA(jws.JWSRegistry):
    """Knows one algorithm.

    joserfc warns that RFC 9864 has a new name for it, `Ed25519`. A verifier that is met today knows the old one.
    """

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return EdDSA, or refuse."""
        if name != EDDSA.name:
            raise UnsupportedAlgorithmError(name)
        return EDDSA


ONLY_EDDSA = _OnlyEdDSA(algorithms=["EdDSA"])


class Header(BaseModel):
    """The protected header, all of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    alg: Literal["EdDSA"]
    kid: Bytes32
    typ: Literal["mien-receipt+jws", "mien-promise+jws", "mien-event+jws"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was read. Nothing in it is true before `payload_of` gave its payload."""

    text: str
    header: Header


def thumbprint(key: bytes) -> str:
    """Return the thumbprint (RFC 7638) of an Ed25519 public key of 32 bytes: its `kid`, and its fingerprint."""
    return encode_base64url(
        hashlib.sha256(encode_json({"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(key)})).digest()
    )


def sign_token(payload: bytes, *, typ: str, key: Ed25519PrivateKey) -> str:
    """Sign *payload*.

    Raises:
        JwsError: it is too long: nobody would read the token.
    """
    public = key.public_key().public_bytes_raw()
    header = {"alg": "EdDSA", "kid": thumbprint(public), "typ": typ}
    private = {"d": encode_base64url(key.private_bytes_raw()), **_public(public)}
    text = jws.serialize_compact(header, payload, OKPKey.import_key(private), registry=ONLY_EDDSA)
    if len(text) > LARGEST:
        raise JwsError("it is too long for a token")
    return text


def read_token(text: str) -> Token:
    """Read the header of a token, to learn which key it says signed it.

    Raises:
        JwsError: it is no token of Mien.
    """
    parts = text.split(".")
    if len(parts) != PARTS or len(text) > LARGEST:
        raise JwsError("it is no compact JWS")
    try:
        header, *_ = [decode_base64url(part) for part in parts]
        return Token(text, Header.model_validate(parse_json(header)))
    except ValidationError as error:
        raise JwsError("its header is not one that Mien writes: exactly alg (EdDSA), kid and its typ") from error
    except ValueError as error:
        raise JwsError(f"it cannot be read ({error})") from error


def verify_token(one: Token, *, typ: str, key: Ed25519PublicKey) -> bytes:
    """Return what was signed.

    Raises:
        JwsError: it was signed as something else, by another key, or changed since.
    """
    if one.header.typ != typ:
        raise JwsError(f"it was signed as {one.header.typ}, not as {typ}")
    try:
        public = OKPKey.import_key(_public(key.public_bytes_raw()))
        return jws.deserialize_compact(one.text, public, registry=ONLY_EDDSA).payload
    except (JoseError, ValueError) as error:
        raise JwsError(
            "its signature does not fit: it was changed after it was signed, or another key signed"
        ) from error


def _public(key: bytes) -> dict[str, str | list[str]]:
    return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(key)}
