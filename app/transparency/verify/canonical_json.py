"""JSON and base64url with exactly one spelling for each value, so that a signature covers all that is read."""

import base64
import binascii
import json
import re
from typing import Annotated, NoReturn, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hex."""
Bytes32 = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""32 bytes in base64url without padding: a salt, a public key, or its thumbprint (RFC 7638)."""

_MEMBER_PATH = re.compile(r"[a-z][a-z0-9_]{0,40}(\.[a-z0-9_]{1,40}){0,6}")


class StrictModel(BaseModel):
    """Refuses unknown members, and values of a similar type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Parse *text*.

        Raises:
            ValueError: as `parse_json`; pydantic alone takes the last of two members with one name.
            ValidationError: the value is not one of this model.
        """
        parse_json(text)
        return cls.model_validate_json(text)


def parse_json(text: bytes) -> object:
    """Parse one JSON value.

    Raises:
        ValueError: the bytes are not UTF-8 or not JSON, are nested too deeply, or name a member twice. Of two members
            with one name, some programs read the first and others the last.
    """
    try:
        value: object = json.loads(text.decode(), object_pairs_hook=_members, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is named twice")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def encode_json(value: object) -> bytes:
    """Encode *value* as JSON in its one spelling: sorted members, UTF-8, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_base64url(content: bytes) -> str:
    """Encode bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        ValueError: the text has another character, or sets an unused bit.
    """
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # Unused bits of the last character would allow two texts for the same bytes.
    if encode_base64url(content) != text:
        raise ValueError("not base64url in its one spelling")
    return content


def describe_validation_error(error: ValidationError) -> str:
    """Return the first fault and its place, without any word of the input: the text may go to a terminal."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = ".".join(map(str, first["loc"]))
    fault = "is not a known one" if first["type"].startswith("union_tag") else first["msg"]
    return f"{path if _MEMBER_PATH.fullmatch(path) else 'a member'}: {fault}"
