"""`mien migrate`, `sweep`, `backup`, `restore` and `keys`: what the operator does with the stores."""

import json
import os
import re
from dataclasses import asdict
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from app import __version__
from app.backup.create import back_up
from app.backup.restore import restore as restore_backup
from app.cli.command import Json, answer, opened, read_settings, refusing, say_profile
from app.jobs.maintenance import destroy_discarded_keys
from app.jobs.maintenance import run_maintenance as sweep_once
from app.jobs.scheduler import courier_of
from app.kit.clock import utc_now
from app.kit.progress import telling
from app.main import set_up
from app.transparency.log import signing_keys
from app.transparency.log.entries import Act, append_open_in_register
from app.transparency.tables import SigningKey, Signs
from app.vault.backup_manifest import Manifest
from app.vault.directory_lock import in_use
from app.vault.rotation import rotate

app = typer.Typer()
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
"""RFC 3339."""
SHOWN = "%Y-%m-%d %H:%M UTC"
TELLING_S = 60.0
"""Seconds that `mien sweep` waits for relying parties; what is not told by then is told another time."""
keys_app = typer.Typer(no_args_is_help=True, help="The key under which all others are wrapped, and those that sign.")


def _instant(given: str) -> datetime:
    try:
        if INSTANT.fullmatch(given):
            return datetime.fromisoformat(given.upper())
    except ValueError:
        # A day or an hour that there is not.
        pass
    msg = f"{given!r} is no time with its zone; write it as 2026-11-23T12:00:00Z or 2026-11-23T13:00:00+01:00"
    raise typer.BadParameter(msg)


@app.command()
def migrate(*, as_json: Json = False) -> None:
    """Bring both databases to this version; on an empty data directory publish the shipped notices."""
    settings = read_settings()
    with opened(settings, checked=False) as vault:
        set_up(vault)
    answer({"data": settings.data_dir, "register": settings.register_dir, "schema": "head"}, as_json=as_json)


@app.command()
def sweep(*, as_json: Json = False) -> None:
    """End what is over by the retention policy, carry on with interrupted erasures, and tell relying parties, now."""
    settings = read_settings()
    with opened(settings) as vault:
        destroy_discarded_keys(vault)
        # What another process left when it died is not known to this one.
        vault.unfinished = True
        done = sweep_once(vault, now=utc_now(), settings=settings)
        signing_keys.begin(vault, now=utc_now())
        told = courier_of(settings, vault).once(within_s=TELLING_S)
    answer(asdict(done) | asdict(told), as_json=as_json)


@keys_app.command("rotate")
def rotate_keys(*, as_json: Json = False) -> None:
    """Wrap every key under a new key-encryption key and destroy the old; or finish what was interrupted."""
    with opened(read_settings()) as vault, telling() as tell:
        note = partial(append_open_in_register, act=Act.KEY_ENCRYPTION_KEY_ROTATED, at=utc_now().isoformat())
        done = rotate(vault.register, progress=lambda count, total: tell(f"{count} of {total} keys"), note=note)
    answer({name: value for name, value in asdict(done).items() if value is not None}, as_json=as_json)


@keys_app.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """List the keys that sign or signed, the oldest first, and the line by which the log's key is handed on."""
    with opened(read_settings()) as vault:
        vkey = signing_keys.vkey(vault)
        with vault.register.store.read() as session:
            known = [_signing(key) for key in signing_keys.known(session)]
    if as_json:
        typer.echo(json.dumps({"keys": known, "vkey": vkey}, default=datetime.isoformat))
        return
    for key in known:
        end = f"stolen {key['stolen_at']:{SHOWN}}" if key["stolen_at"] else "in force"
        end = f"retired {key['retired_at']:{SHOWN}}" if key["retired_at"] and not key["stolen_at"] else end
        typer.echo(f"{key['kid']}  {key['signs']:<11}  made {key['made_at']:{SHOWN}}  {end}")
    typer.echo(f"vkey  {vkey}")


@keys_app.command("rotate-receipts")
def rotate_receipts(*, as_json: Json = False) -> None:
    """Sign receipts with a new key from now on, and destroy the old one. What that signed still verifies."""
    with opened(read_settings()) as vault:
        new = signing_keys.rotate(vault, now=utc_now())
    answer({"kid": new.thumbprint, "made_at": new.made_at.isoformat()}, as_json=as_json)


@keys_app.command("rotate-events")
def rotate_events(*, as_json: Json = False) -> None:
    """Sign what relying parties are told with a new key from now on, and destroy the old one."""
    with opened(read_settings()) as vault:
        signing_keys.begin(vault, now=utc_now())
        new = signing_keys.rotate(vault, signs=Signs.EVENTS, now=utc_now())
    answer({"kid": new.thumbprint, "made_at": new.made_at.isoformat()}, as_json=as_json)


# A name of a key may begin with a dash.
@keys_app.command("stolen", context_settings={"ignore_unknown_options": True})
def give_key_up(
    kid: Annotated[
        str, typer.Argument(metavar="KID", help="The key of receipts or of events, as `mien keys list` names it.")
    ],
    *,
    since: Annotated[
        datetime,
        typer.Option(
            metavar="TIME",
            parser=_instant,
            help="The earliest that it can have been stolen, as 2026-11-23T12:00:00Z. When in doubt, earlier.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Say that a key was stolen, and sign with a new one. This is published, and cannot be taken back.

    A receipt that it signed holds only if it was in the log by then; an event never.
    See docs/reference/transparency-log.md.
    """
    with opened(read_settings()) as vault:
        key = signing_keys.give_up(vault, which=kid, stolen_at=since, now=utc_now())
        now_signs = signing_keys.thumbprint_in_force(vault, key.signs)
    since_then = (key.stolen_at or since).isoformat()
    told = {"kid": key.thumbprint, "stolen_at": since_then, "log_size": key.stolen_size, "now_signs": now_signs}
    answer(told, as_json=as_json)


def _signing(key: SigningKey) -> dict[str, Any]:
    return {
        "kid": key.thumbprint,
        "signs": str(key.signs),
        "made_at": key.made_at,
        "retired_at": key.retired_at,
        "stolen_at": key.stolen_at,
        "log_size": key.stolen_size,
    }


@app.command()
def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory, best on another medium.")],
    *,
    as_json: Json = False,
) -> None:
    """Back up the data, also while the service runs: never the register, never the key-encryption key.

    DIR gets mien.db and manifest.json, and is there only when it is whole. See docs/how-to/back-up-and-restore.md.
    """
    settings = read_settings()
    with refusing(), in_use(settings.data_dir), telling() as tell:
        made = back_up(settings, to=directory, version=__version__, now=utc_now(), tell=tell)
    say_profile(settings)
    answer({"backup": directory, **_told(made)}, as_json=as_json)


@app.command()
def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="What `mien backup` made.")],
    *,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the data; what ended since then stays ended. Stop the service first.

    Refused, with the data as it was, if the backup is damaged, is of a newer version, or belongs to another register.
    What was given since then is lost. See docs/how-to/back-up-and-restore.md.
    """
    settings = read_settings()
    os.environ.setdefault("SQLITE_TMPDIR", str(settings.data_dir))
    with refusing(), telling() as tell:
        done = restore_backup(settings, backup=directory, now=utc_now, tell=tell)
    say_profile(settings)
    counts = {"purged": done.purged, "expired": done.expired, "replaced_data_was_read": done.replaced_data_was_read}
    answer({"restored": directory, **_told(done.backup), **counts}, as_json=as_json)


def _told(manifest: Manifest) -> dict[str, Any]:
    shown = ("made_at", "mien_version", "schema", "size", "sha256")
    return {name: getattr(manifest, name) for name in shown}
