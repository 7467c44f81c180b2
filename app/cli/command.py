"""Shared by the commands: read the settings and print the result. Imports no store."""

import json
import os
import re
from datetime import datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.cli.errors import refuse
from app.cli.unknown_settings import unknown_settings
from app.settings import PREFIX, Settings

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""A time with its zone (RFC 3339)."""


def read_settings() -> Settings:
    """Read the settings; exit with 1 and the names of the invalid and unknown ones."""
    faults = unknown_settings(os.environ)
    try:
        settings = Settings()
    except ValidationError as error:
        faults += [_invalid_setting(fault) for fault in error.errors()]
    if faults:
        refuse(" ".join(faults))
    return settings


def _invalid_setting(fault: ErrorDetails) -> str:
    """Return a sentence about an invalid setting. It never holds the value, which may be a key."""
    name = f"{PREFIX}{str(fault['loc'][0]).upper()}: " if fault["loc"] else ""
    return f"{name}{fault['msg'].removeprefix('Value error, ')}."


def parse_instant(text: str) -> datetime:
    """Return the time that an option gives."""
    try:
        if INSTANT.fullmatch(text):
            return datetime.fromisoformat(text.upper())
    except ValueError:
        # The pattern also accepts impossible days and hours.
        pass
    msg = f"{text!r} is no time with its zone; write it as 2026-11-23T12:00:00Z or 2026-11-23T13:00:00+01:00"
    raise typer.BadParameter(msg)


def print_profile(settings: Settings) -> None:
    """Print on standard error, in `prototype` only, that this is a demonstration."""
    if settings.profile == "prototype":
        typer.echo(f"mien: prototype, {settings.controller}", err=True)


def print_result(fields: dict[str, Any], *, as_json: bool) -> None:
    """Print one line for each field, or one JSON object."""
    if as_json:
        typer.echo(json.dumps(fields, default=str))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{name.replace('_', ' '):<{width}}  {shown}")
