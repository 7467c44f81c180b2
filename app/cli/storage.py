"""`mien migrate`, `sweep`, `backup`, `restore` and `restore-check`: operate the two stores."""

import os
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from app.backup.create import back_up
from app.backup.move import destroy_moved, is_moved
from app.backup.move import move as move_stores
from app.backup.restore import restore as restore_backup
from app.backup.restore_check import find
from app.cli.command import Json, parse_instant, print_profile, print_result, read_settings
from app.cli.errors import refuse
from app.cli.stores import open_stores
from app.db.store import unlimited_reads
from app.jobs.deliver_callbacks import deliver_once
from app.jobs.maintenance import run_maintenance
from app.kit.clock import utc_now
from app.kit.progress import show_progress
from app.kit.version import __version__
from app.settings import Settings
from app.startup import Run
from app.vault.backup_manifest import Manifest
from app.vault.directory_lock import in_use

app = typer.Typer()
DELIVERY_S = 60.0
"""Seconds that `mien sweep` spends on messages to relying parties; later runs send the rest."""


@app.command()
def migrate(*, as_json: Json = False) -> None:
    """Bring both databases to this version's schema. An empty data directory also gets the shipped notices."""
    settings = read_settings()
    with open_stores(settings, run=Run.MIGRATE) as vault:
        on_server = vault.data.place, vault.register.store.place
    places = on_server if settings.database_url is not None else (settings.data_dir, settings.register_dir)
    print_result({"data": places[0], "register": places[1], "schema": "head"}, as_json=as_json)


@app.command()
def sweep(*, as_json: Json = False) -> None:
    """Run maintenance now: apply the retention policy, resume erasures, send messages to relying parties.

    While the service runs, it sends the messages itself.
    """
    settings = read_settings()
    with open_stores(settings, run=Run.MAINTENANCE) as vault:
        # A process that died may have left work that this process does not know of.
        vault.unfinished = True
        done = run_maintenance(vault, now=utc_now(), settings=settings)
        delivered = deliver_once(settings, vault, within_s=DELIVERY_S)
    print_result(asdict(done) | asdict(delivered), as_json=as_json)


@app.command()
def backup(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A new directory, best on another disk.")],
    *,
    as_json: Json = False,
) -> None:
    """Back up the data, also while the service runs; never the register, never the key-encryption key.

    DIR appears only when the backup is complete. It holds mien.db and manifest.json.
    See docs/how-to/back-up-and-restore.md.
    """
    settings = read_settings()
    _refuse_on_postgres(settings)
    with in_use(settings.data_dir), show_progress() as progress:
        manifest = back_up(settings, to=directory, version=__version__, now=utc_now(), progress=progress)
    print_profile(settings)
    print_result({"backup": directory, **_fields(manifest)}, as_json=as_json)


@app.command()
def restore(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The directory that `mien backup` made.")],
    *,
    unauthenticated: Annotated[
        bool,
        typer.Option("--unauthenticated", help="Admit a backup of an older version, which does not prove its origin."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Replace the data with a backup. Consents and accounts that ended since then stay ended. Stop the service first.

    Refused, and nothing changes, if the backup is damaged, newer than this version, of another register, or changed by
    another program.
    Consents and photos given since the backup are lost. See docs/how-to/back-up-and-restore.md.
    """
    settings = read_settings()
    _refuse_on_postgres(settings)
    os.environ.setdefault("SQLITE_TMPDIR", str(settings.data_dir))
    with show_progress() as progress:
        done = restore_backup(
            settings, backup=directory, now=utc_now, progress=progress, unauthenticated=unauthenticated
        )
    print_profile(settings)
    counts = {"purged": done.purged, "expired": done.expired, "replaced_data_was_read": done.replaced_data_was_read}
    print_result({"restored": directory, **_fields(done.backup), **counts}, as_json=as_json)


@app.command()
def move(
    *,
    remove_old: Annotated[
        bool, typer.Option("--remove-old", help="Overwrite and remove the files of SQLite after the move.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Move both stores from SQLite to the PostgreSQL databases of the settings. Stop the service first.

    MIEN_DATABASE_URL and MIEN_REGISTER_URL name two empty databases. Run the command again if it was interrupted.
    The files stay unchanged until a run with --remove-old. See docs/how-to/move-to-postgresql.md.
    """
    settings = read_settings()
    if settings.database_url is None:
        refuse("set MIEN_DATABASE_URL and MIEN_REGISTER_URL to two empty databases of PostgreSQL: the move fills these")
    result: dict[str, Any] = {}
    if not (remove_old and is_moved(settings)):
        with show_progress() as progress:
            result |= move_stores(settings, now=utc_now(), progress=progress)._asdict()
    if remove_old:
        result["removed"] = [str(file) for file in destroy_moved(settings)]
    print_result(result, as_json=as_json)


@app.command("restore-check")
def restore_check(
    *,
    data_of: Annotated[
        datetime | None,
        typer.Option(
            "--data-of",
            metavar="TIME",
            parser=parse_instant,
            help="The data was restored to its state of TIME (2026-11-23T12:00:00Z): everything given since is lost.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Check both stores after a restore or failover by the tools of PostgreSQL, and delete what ended since.

    One line for each check, up to the first that fails. Exits 0 if all pass, 1 if one fails.
    See docs/how-to/back-up-postgresql.md.
    """
    settings = read_settings()
    with open_stores(settings, run=None) as vault, unlimited_reads():
        findings = []
        for one in find(vault, settings, data_of=data_of, now=utc_now()):
            findings.append(one)
            if not as_json:
                typer.echo(f"{'ok    ' if one.passed else 'FAILED'} {one.name}: {one.text}")
    passed = all(one.passed for one in findings)
    if as_json:
        print_result({"passed": passed, "findings": [one._asdict() for one in findings]}, as_json=True)
    if not passed:
        raise typer.Exit(1)


def _refuse_on_postgres(settings: Settings) -> None:
    if settings.database_url is not None:
        refuse(
            "the stores are on PostgreSQL, which has its own way: pg_basebackup of the data cluster, and an archive of "
            "its log (docs/how-to/back-up-postgresql.md)"
        )


def _fields(manifest: Manifest) -> dict[str, Any]:
    return {name: getattr(manifest, name) for name in ("made_at", "mien_version", "schema", "size", "sha256")}
