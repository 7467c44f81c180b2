"""Types of settings, with their checks."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr

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


def _check_database(value: SecretStr) -> SecretStr:
    """Refuse another database than PostgreSQL. The message never quotes the address, which may hold a password."""
    try:
        address = urlsplit(value.get_secret_value())
        is_usable = address.scheme in {"postgresql", "postgres"} and address.path.strip("/") and address.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        msg = "give the address of a PostgreSQL database, such as postgresql://mien:password@host:5432/mien"
        raise ValueError(msg)
    return value


def _check_text(value: str) -> str:
    if is_blank(value):
        msg = "it is blank; leave it out instead"
        raise ValueError(msg)
    if not readable(value):
        raise ValueError(REASON)
    return value.strip()


DatabaseUrl = Annotated[SecretStr, AfterValidator(_check_database)]
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
