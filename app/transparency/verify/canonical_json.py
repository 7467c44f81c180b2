"""JSON and base64url read so that nothing has two spellings: what was signed is all that is believed."""

import base64
import binascii
import json
import re
from typing import Annotated, NoReturn

from pydantic import Field, ValidationError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 in lower-case hex."""
Bytes32 = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""32 bytes in base64url without padding: a salt, a public key, or its thumbprint (RFC 7638)."""

NAMES = re.compile(r"[a-z][a-z0-9_]{0,40}(\.[a-z0-9_]{1,40}){0,6}")


def parse_json(text: bytes) -> object:
    """Read one JSON value.

    Raises:
        ValueError: it is no UTF-8 or no JSON, is too deep to be read, or names a member twice: readers differ in which
            of the two they take.
    """
    try:
        found: object = json.loads(text.decode(), object_pairs_hook=_members, parse_constant=_no_number)
    except RecursionError as error:
        raise ValueError("too deep") from error
    return found


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is named twice")
    return members


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def encode_json(value: object) -> bytes:
    """Write *value* as JSON in the one way that Mien does: members in order, UTF-8, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_base64url(content: bytes) -> str:
    """Write bytes in base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode_base64url(text: str) -> bytes:
    """Read base64url without padding.

    Raises:
        ValueError: another character is in it, or a bit is set that means nothing.
    """
    try:
        content = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # Unused bits of the last character could be anything: two texts for the same bytes.
    if encode_base64url(content) != text:
        raise ValueError("not base64url as it is written")
    return content


def describe_validation_error(error: ValidationError) -> str:
    """Say what is wrong, and where, without repeating a word of what was read: the answer may go to a terminal."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    what = "is none that is known" if first["type"].startswith("union_tag") else first["msg"]
    return f"{where if NAMES.fullmatch(where) else 'a member'}: {what}"
