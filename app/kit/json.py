"""JSON that all programs read alike, and the encoding of values that JSON has no type for."""

import json
from datetime import datetime


class RepeatedMemberError(ValueError):
    """An object names a member twice. Some programs read the first of them, and others the last (RFC 8259, 4)."""


def parse_json(text: str | bytes) -> object:
    """Parse one JSON value.

    Raises:
        RepeatedMemberError: an object in it names a member twice.
        ValueError: it is not JSON.
    """
    value: object = json.loads(text, object_pairs_hook=_members)
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise RepeatedMemberError("a member is named twice")
    return members


def encode_value(value: object) -> str:
    """Encode a time in ISO 8601 and other values as their text: the `default` of `json.dumps`."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
