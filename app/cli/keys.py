"""`mien keys`: rotate, list and give up the key-encryption key and the signing keys."""

import json
import re
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from app.cli.command import Json, parse_instant, print_result, read_settings
from app.cli.stores import open_stores
from app.jobs.turn_key_encryption_key import turn
from app.kit.clock import utc_now
from app.kit.progress import show_progress
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse, SigningKey

app = typer.Typer(no_args_is_help=True, help="The key-encryption key, which wraps all other keys, and signing keys.")
KID = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
"""A JWK thumbprint with SHA-256 (RFC 7638)."""
TIME_FORMAT = "%Y-%m-%d %H:%M UTC"


@app.command("rotate")
def rotate_keys(*, as_json: Json = False) -> None:
    """Wrap every key under a new key-encryption key and destroy the old one. Also resumes an interrupted rotation."""
    with open_stores(read_settings()) as vault, show_progress() as progress:
        done = turn(vault.register, now=utc_now(), progress=lambda count, total: progress(f"{count} of {total} keys"))
    print_result({name: value for name, value in asdict(done).items() if value is not None}, as_json=as_json)


@app.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """List the signing keys, also retired ones, oldest first, and the verifier line of the transparency log's key."""
    with open_stores(read_settings()) as vault:
        vkey = signing_keys.checkpoint_vkey(vault)
        with vault.register.store.read() as session:
            known = [_fields(key) for key in signing_keys.list_signing_keys(session)]
    if as_json:
        typer.echo(json.dumps({"keys": known, "vkey": vkey}, default=datetime.isoformat))
        return
    for key in known:
        typer.echo(f"{key['kid']}  {key['signs']:<11}  made {key['made_at']:{TIME_FORMAT}}  {_state(key)}")
    typer.echo(f"vkey  {vkey}")


@app.command("rotate-receipts")
def rotate_receipts(*, as_json: Json = False) -> None:
    """Sign receipts with a new key from now on, and destroy the old one. Earlier receipts still verify."""
    with open_stores(read_settings()) as vault:
        new = signing_keys.rotate(vault, now=utc_now())
    print_result({"kid": new.thumbprint, "made_at": new.made_at.isoformat()}, as_json=as_json)


@app.command("rotate-events")
def rotate_events(*, as_json: Json = False) -> None:
    """Sign messages to relying parties with a new key from now on, and destroy the old one."""
    with open_stores(read_settings()) as vault:
        new = signing_keys.rotate(vault, signs=KeyUse.EVENTS, now=utc_now())
    print_result({"kid": new.thumbprint, "made_at": new.made_at.isoformat()}, as_json=as_json)


class StolenKey(TyperCommand):
    """`mien keys stolen`, whose KID may begin with a dash and so look like an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer does not publish the type
        """Put the KID last, after the mark that ends the options."""
        options = [one for one in args if KID.fullmatch(one) is None]
        return super().parse_args(ctx, [*options, "--", *filter(KID.fullmatch, args)] if options != args else args)


@app.command("stolen", cls=StolenKey)
def report_stolen_key(
    kid: Annotated[
        str, typer.Argument(metavar="KID", help="The key of receipts or of events, as `mien keys list` names it.")
    ],
    *,
    since: Annotated[
        datetime,
        typer.Option(
            metavar="TIME",
            parser=parse_instant,
            help="The earliest possible time of the theft, as 2026-11-23T12:00:00Z. When in doubt, earlier.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Publish that a signing key was stolen, and sign with a new key. This cannot be taken back.

    A receipt signed by the stolen key stays valid only if it was in the transparency log before TIME. A message
    signed by it is never valid. See docs/reference/transparency-log.md.
    """
    with open_stores(read_settings()) as vault:
        key = signing_keys.mark_stolen(vault, which=kid, stolen_at=since, now=utc_now())
        successor = signing_keys.current_thumbprint(vault, key.signs)
    stolen_at = (key.stolen_at or since).isoformat()
    print_result(
        {"kid": key.thumbprint, "stolen_at": stolen_at, "log_size": key.stolen_size, "now_signs": successor},
        as_json=as_json,
    )


def _fields(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.thumbprint,
        "signs": str(key.signs),
        "made_at": key.made_at,
        "retired_at": key.retired_at,
        "stolen_at": key.stolen_at,
        "log_size": key.stolen_size,
    }


def _state(key: dict[str, Any]) -> str:
    if key["stolen_at"]:
        return f"stolen {key['stolen_at']:{TIME_FORMAT}}"
    return f"retired {key['retired_at']:{TIME_FORMAT}}" if key["retired_at"] else "in force"
