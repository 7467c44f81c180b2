"""The `mien` command. Exits 0 (done), 1 (refused, and said why) or 2 (usage)."""

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn
from uuid import UUID

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from app.consent import notices
from app.demo.story import play
from app.faces.permit import Purpose
from app.kit import log
from app.kit.clock import utc_now
from app.kit.migrate import NewerSchemaError
from app.kit.protocol import DeadlineProtocol
from app.kit.settings import Settings
from app.main import build, set_up
from app.parties import service as parties
from app.rights.sweep import sweep as sweep_once
from app.vault.opening import SchemaError, check, is_new, open_vault
from app.vault.rotation import rotate
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError, Vault

app = typer.Typer(
    name="mien",
    help="Face matching that asks first. Settings are environment variables MIEN_…: see docs/settings.md.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
notice_app = typer.Typer(no_args_is_help=True, help="The texts that people read before they decide.")
party_app = typer.Typer(no_args_is_help=True, help="Who may ask: relying parties and their keys.")
keys_app = typer.Typer(no_args_is_help=True, help="The key under which every other key is wrapped.")
app.add_typer(notice_app, name="notice")
app.add_typer(party_app, name="relying-party")
app.add_typer(keys_app, name="keys")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
PartyId = Annotated[UUID, typer.Argument(metavar="ID", help="The relying_party_id that `add` printed.")]

REFUSALS = (
    KekError,
    ForeignRegisterError,
    SchemaError,
    NewerSchemaError,
    notices.NoticeError,
    parties.PartyError,
    OSError,
    DBAPIError,
    UnicodeError,
)


def _refuse(why: str) -> NoReturn:
    typer.echo(f"mien: {why}", err=True)
    raise typer.Exit(1)


def _reason(error: Exception) -> str:
    # Only what the database says: the statement's parameters may be personal.
    return f"the databases cannot be used: {error.orig}" if isinstance(error, DBAPIError) else str(error)


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        faults = [f"{'MIEN_' + str(f['loc'][0]).upper() + ': ' if f['loc'] else ''}{f['msg']}" for f in error.errors()]
        _refuse("; ".join(faults))


@contextmanager
def _opened(settings: Settings, *, checked: bool = True) -> Iterator[Vault]:
    """Open the stores for one command; on an empty data directory they are set up first, as `serve` does."""
    try:
        vault = open_vault(settings)
        if checked and is_new(vault):
            set_up(vault)
        if checked:
            check(vault)
        yield vault
    except REFUSALS as error:
        _refuse(_reason(error))
    vault.data.close()
    vault.register.store.close()


def _answer(fields: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(fields, default=str))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        shown = ", ".join(value) if isinstance(value, list) else value
        typer.echo(f"{name.replace('_', ' '):<{width}}  {shown}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 8000,
    as_json: Json = False,  # noqa: FBT002 - an option
) -> None:
    """Serve. On an empty data directory it migrates and publishes the shipped notices first."""
    settings = _settings()
    try:
        os.environ.setdefault("SQLITE_TMPDIR", str(settings.data_dir))
        service = build(settings)
        check(service.state.vault)
    except (*REFUSALS, ValueError) as error:
        _refuse(_reason(error))
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        _refuse(f"cannot listen on {host} port {port}: {error.strerror}")
    host, port = listening.getsockname()[:2]
    _answer(
        {"address": f"http://{f'[{host}]' if ':' in host else host}:{port}", "profile": settings.profile},
        as_json=as_json,
    )
    sys.stdout.flush()
    config = uvicorn.Config(
        service,
        log_config=None,
        http=DeadlineProtocol,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )
    DeadlineProtocol.headers_s, DeadlineProtocol.rest_s = settings.headers_timeout_s, settings.body_timeout_s
    server = uvicorn.Server(config)
    # uvicorn finishes what it has begun, then raises the signal again for whoever handled it before: that is us, so
    # that the exit code is 0, and so that a signal which comes before uvicorn listens for it is not lost.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    server.run(sockets=[listening])


@app.command()
def demo(
    *,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the directories for you to look into.")] = False,
    as_json: Json = False,
) -> None:
    """Play the whole story with synthetic people, as outside HTTP clients, on temporary directories."""
    held = play(console=Console(stderr=as_json), keep=keep)
    if as_json:
        _answer({"held": held}, as_json=True)
    raise typer.Exit(0 if held else 1)


@app.command()
def migrate(*, as_json: Json = False) -> None:
    """Bring both databases to this version; on an empty data directory publish the shipped notices."""
    settings = _settings()
    with _opened(settings, checked=False) as vault:
        set_up(vault)
    _answer({"data": settings.data_dir, "register": settings.register_dir, "schema": "head"}, as_json=as_json)


@notice_app.command("publish")
def publish_notice(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: Json = False) -> None:
    """Put a notice in force for its purpose. People who consented to an older one stay under that one."""
    with _opened(_settings()) as vault, vault.data.write() as session:
        head, new = notices.publish(session, body=file.read_bytes(), now=utc_now())
    _answer({**asdict(head), "new": new}, as_json=as_json)


def _show_party(party: parties.PartyView, *, as_json: bool, key: str | None = None) -> None:
    shown: dict[str, Any] = {"relying_party_id": party.id, "name": party.name}
    if key is not None:
        shown["api_key"] = key
    _answer({**shown, "purposes": [str(purpose) for purpose in party.purposes]}, as_json=as_json)


@party_app.command("add")
def add_party(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    contact: Annotated[str, typer.Option(help="Where people reach it.")],
    purpose: Annotated[list[Purpose], typer.Option(help="What it may ask consent for; repeatable.")],
    alternative: Annotated[str, typer.Option(help="The way in without a face, at no extra cost or delay.")],
    as_json: Json = False,
) -> None:
    """Add a relying party and print its key, once."""
    with _opened(_settings()) as vault, vault.data.write() as session:
        party, key = parties.add(
            session, name=name, contact=contact, purposes=purpose, alternative=alternative, now=utc_now()
        )
    _show_party(party, as_json=as_json, key=key)


@party_app.command("rotate-key")
def rotate_party_key(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys and print a new one, once."""
    with _opened(_settings()) as vault:
        party, key = parties.rotate_key(vault, party_id=party_id, now=utc_now())
    _show_party(party, as_json=as_json, key=key)


@party_app.command("revoke")
def revoke_party(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys for good. People's consents to it stay theirs to withdraw."""
    with _opened(_settings()) as vault:
        party = parties.revoke(vault, party_id=party_id, now=utc_now())
    _show_party(party, as_json=as_json)


@app.command()
def sweep(*, as_json: Json = False) -> None:
    """End the consents whose time is over, and carry on with interrupted erasures, now."""
    settings = _settings()
    with _opened(settings) as vault:
        done = sweep_once(vault, now=utc_now(), settings=settings)
    _answer(asdict(done), as_json=as_json)


@keys_app.command("rotate")
def rotate_keys(*, as_json: Json = False) -> None:
    """Wrap every key under a new key-encryption key and destroy the old; or finish what was interrupted."""
    with _opened(_settings()) as vault:
        done = rotate(vault.register, progress=_show_progress)
    if sys.stderr.isatty():
        typer.echo(err=True)
    _answer({name: value for name, value in asdict(done).items() if value is not None}, as_json=as_json)


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        typer.echo(f"\r{done} of {total} keys", nl=False, err=True)


def main() -> None:
    """Run the command."""
    log.configure()
    app(prog_name="mien")
