"""Shared by the commands: read the settings, open the stores, print the result, exit with 1 and a reason."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError

from app.consent.notices import NoticeError
from app.db.migrate import NewerSchemaError
from app.evaluation.errors import EvaluationError
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import UnsupportedTargetError
from app.parties.service import PartyError
from app.settings import Settings
from app.startup import Run, prepare
from app.templates.engine_history import NotInForceError
from app.transparency.log.signing_keys import SigningKeyError
from app.vault.backup_manifest import BackupError
from app.vault.directory_lock import InUseError, in_use
from app.vault.open import SchemaError, open_vault
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError, Vault

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

EXPECTED_ERRORS = (
    KekError,
    ForeignRegisterError,
    SchemaError,
    NewerSchemaError,
    InUseError,
    BackupError,
    NoticeError,
    PartyError,
    SigningKeyError,
    CustomEngineError,
    EvaluationError,
    UnsupportedTargetError,
    NotInForceError,
    OSError,
    DBAPIError,
    sqlite3.Error,
    UnicodeError,
)
"""Errors that the operator can act on; the command prints their text instead of a traceback."""


def refuse(why: str) -> NoReturn:
    """Print the reason on standard error and exit with 1."""
    typer.echo(f"mien: {why}", err=True)
    raise typer.Exit(1)


def error_text(error: Exception) -> str:
    """Return the text of an error; of a database error only the driver's own text."""
    # SQLAlchemy's text quotes the statement's parameters, which may be personal data.
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"the databases cannot be used: {cause}" if isinstance(error, DBAPIError | sqlite3.Error) else str(error)


@contextmanager
def refuse_on_error() -> Iterator[None]:
    """Print the reason and exit with 1 if the block raises one of EXPECTED_ERRORS."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        refuse(error_text(error))


def read_settings() -> Settings:
    """Read the settings; exit with 1 and the names of the invalid ones."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"{'MIEN_' + str(f['loc'][0]).upper() + ': ' if f['loc'] else ''}{f['msg']}" for f in error.errors()]
        refuse("; ".join(faults))


@contextmanager
def open_stores(settings: Settings, *, run: Run | None = Run.COMMAND) -> Iterator[Vault]:
    """Open both stores for one command; set them up first if the data directory is empty, as `serve` does.

    Args:
        settings: the settings.
        run: the start steps to take; None takes none.
    """
    with refuse_on_error(), in_use(settings.data_dir):
        vault = open_vault(settings)
        if run is not None:
            prepare(vault, settings, run)
        yield vault
        vault.data.close()
        vault.register.store.close()
    print_profile(settings)


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
