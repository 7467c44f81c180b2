"""Encoding of values that JSON has no type for."""

from datetime import datetime


def written(value: object) -> str:
    """Return a time in ISO 8601, and everything else as its text: the `default` of `json.dumps`."""
    return value.isoformat() if isinstance(value, datetime) else str(value)
