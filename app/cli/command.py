"""What every command does: read the settings, open the stores, refuse with the reason, answer."""

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
from app.faces.cards.custom_card import OwnEngineError
from app.faces.cards.operating_point import UnsupportedTargetError
from app.main import set_up
from app.parties.service import PartyError
from app.settings import Settings
from app.templates.engine_history import NotInForceError
from app.transparency.log.service import check as check_log
from app.transparency.log.signing_keys import SigningKeyError
from app.vault.backup_manifest import BackupError
from app.vault.directory_lock import InUseError, in_use
from app.vault.open import SchemaError, check, is_new, open_vault
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError, Vault

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

REFUSALS = (
    KekError,
    ForeignRegisterError,
    SchemaError,
    NewerSchemaError,
    InUseError,
    BackupError,
    NoticeError,
    PartyError,
    SigningKeyError,
    OwnEngineError,
    EvaluationError,
    UnsupportedTargetError,
    NotInForceError,
    OSError,
    DBAPIError,
    sqlite3.Error,
    UnicodeError,
)


def refuse(why: str) -> NoReturn:
    """Say why not, and exit with 1."""
    typer.echo(f"mien: {why}", err=True)
    raise typer.Exit(1)


def reason(error: Exception) -> str:
    """Say in words why something was refused."""
    # Only what the database says: the statement's parameters may be personal.
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"the databases cannot be used: {cause}" if isinstance(error, DBAPIError | sqlite3.Error) else str(error)


def read_settings() -> Settings:
    """Read the settings, or say which of them cannot be used."""
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"{'MIEN_' + str(f['loc'][0]).upper() + ': ' if f['loc'] else ''}{f['msg']}" for f in error.errors()]
        refuse("; ".join(faults))


@contextmanager
def opened(settings: Settings, *, checked: bool = True) -> Iterator[Vault]:
    """Open the stores for one command; on an empty data directory they are set up first, as `serve` does."""
    with refusing(), in_use(settings.data_dir):
        vault = open_vault(settings)
        if checked and is_new(vault):
            set_up(vault)
        if checked:
            check(vault)
            check_log(vault)
        yield vault
        vault.data.close()
        vault.register.store.close()
    say_profile(settings)


def say_profile(settings: Settings) -> None:
    """Say in `prototype` that nobody answers for the data, where no program reads it."""
    if settings.profile == "prototype":
        typer.echo(f"mien: prototype, {settings.controller}", err=True)


@contextmanager
def refusing() -> Iterator[None]:
    """End with the reason and exit 1 if what is done in the block is refused."""
    try:
        yield
    except REFUSALS as error:
        refuse(reason(error))


def answer(fields: dict[str, Any], *, as_json: bool) -> None:
    """Print what the command did: a line for each field, or one JSON object."""
    if as_json:
        typer.echo(json.dumps(fields, default=str))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{name.replace('_', ' '):<{width}}  {shown}")
