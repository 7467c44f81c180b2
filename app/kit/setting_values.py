"""Types of settings, with their checks."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from app.kit.text import REASON, is_blank, readable


def _parse_days(value: object) -> object:
    """Take a bare number as days: pydantic would take it as seconds."""
    return timedelta(days=int(value)) if isinstance(value, str) and value.strip().isdecimal() else value


def _check_whole_days(value: timedelta) -> timedelta:
    """Refuse a part of a day: sealed rows carry no finer time."""
    if value % timedelta(days=1):
        msg = "give whole days"
        raise ValueError(msg)
    return value


def _check_path(value: object) -> object:
    """Refuse a blank path, which would be the current directory."""
    if isinstance(value, str) and not value.strip():
        msg = "it is blank; leave it out instead"
        raise ValueError(msg)
    return value


def _check_text(value: str) -> str:
    if is_blank(value):
        msg = "it is blank; leave it out instead"
        raise ValueError(msg)
    if not readable(value):
        raise ValueError(REASON)
    return value.strip()


Text = Annotated[str, AfterValidator(_check_text)]
Location = Annotated[Path, BeforeValidator(_check_path)]
Bytes = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
UpToADay = Annotated[int, Field(ge=1, le=86_400)]
"""Seconds."""
Days = Annotated[int, Field(ge=1, le=36_525)]
RetentionPeriod = Annotated[
    timedelta,
    BeforeValidator(_parse_days),
    AfterValidator(_check_whole_days),
    Field(ge=timedelta(), le=timedelta(days=36_525)),
]
"""Whole days, as a number or as ISO 8601 (`P3Y`); 0 keeps nothing."""
