"""Encoding of values that JSON has no type for."""

from datetime import datetime


def encode_value(value: object) -> str:
    """Encode a time in ISO 8601 and other values as their text: the `default` of `json.dumps`."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
