"""`mien verify-log` and `mien witness`: whether the log is what it was, looked at from inside and from outside."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.command import Json, answer, opened, read_settings, refuse
from app.kit.clock import utc_now
from app.kit.progress import telling
from app.transparency.audit.findings import Finding
from app.transparency.audit.service import AuditReport, audit_log
from app.transparency.witness import service as witnessing
from app.transparency.witness.notes import WitnessNotesError
from app.transparency.witness.service import ContradictionError, UnprovenError, WitnessResult
from app.vault.open import DATA_FILE, REGISTER_FILE, check

app = typer.Typer()


@app.command("verify-log")
def verify_log(*, as_json: Json = False) -> None:
    """Look through all of the log, and name the first entry that is not as it was written. Changes nothing.

    Also while the service runs. Exits 0 if all is whole, 1 if not.
    For the next steps see docs/reference/transparency-log.md.
    """
    settings = read_settings()
    for file in (settings.data_dir / DATA_FILE, settings.register_dir / REGISTER_FILE):
        if not file.exists():
            refuse(f"there is no {file}: nothing to look through")
    # Not what every command checks of the log at its start: it refuses what is to be named here.
    with opened(settings, checked=False) as vault, telling() as tell:
        check(vault)
        found = audit_log(vault, now=utc_now(), tell=tell)
    if as_json:
        typer.echo(json.dumps(_audited(found)))
    else:
        _show(found)
    if found.findings:
        raise typer.Exit(1)


def _audited(found: AuditReport) -> dict[str, Any]:
    return {
        "log": found.origin,
        "size": found.size,
        "whole": not found.findings,
        "first_bad_entry": found.findings[0].index if found.findings else None,
        "findings": [{**asdict(one), "do": one.do} for one in found.findings],
        "warnings": found.warnings,
        "checked": asdict(found.checked),
    }


def _show(found: AuditReport) -> None:
    for warning in found.warnings:
        typer.echo(f"mien: warning: {warning}", err=True)
    if found.findings:
        first, *more = found.findings
        typer.echo(f"mien: {_told(first)}. {first.do}", err=True)
        for one in more:
            typer.echo(f"mien: also: {_told(one)}", err=True)
        return
    answer({"log": found.origin, "size": found.size, "whole": "yes", **asdict(found.checked)}, as_json=False)


def _told(finding: Finding) -> str:
    where = "the log" if finding.index is None else f"the first bad entry is {finding.index}"
    return f"{where}: {finding.what} ({finding.kind})"


@app.command()
def witness(
    url: Annotated[str, typer.Argument(metavar="URL", help="The service, as https://example.org.")],
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="Where the checkpoints are kept; made if it is not there.")
    ] = Path("mien-witness"),
    every: Annotated[
        float | None, typer.Option("--every", metavar="SECONDS", min=1, help="Look again and again, until stopped.")
    ] = None,
    vkey: Annotated[
        str | None,
        typer.Option(
            "--vkey",
            metavar="V",
            help="The key of the log's checkpoints (name+id+base64), if you have it from elsewhere.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Keep the checkpoints of somebody's log, and say whether it still is what it was when it was looked at last.

    Needs no store and no settings, and asks the service only for what anybody may ask. Without --vkey the key that the
    service names is believed at the first time, and no other afterwards. Exits 0 if the log holds, 1 if not, or if that
    cannot be said now. See docs/reference/transparency-log.md.
    """
    while True:
        holds = _look(url, state, vkey, as_json=as_json)
        if every is None:
            raise typer.Exit(0 if holds else 1)
        sys.stdout.flush()
        time.sleep(every)


def _look(url: str, state: Path, vkey: str | None, *, as_json: bool) -> bool:
    """Look once, and say what came of it."""
    try:
        held = witnessing.check_log(url, state=state, vkey=vkey, now=utc_now())
    except (ContradictionError, UnprovenError, WitnessNotesError, OSError) as error:
        if as_json:
            found = error.found if isinstance(error, ContradictionError) else "unproven"
            evidence = error.evidence if isinstance(error, ContradictionError) else None
            answer({"holds": False, "found": found, "reason": str(error), "evidence": evidence}, as_json=True)
        else:
            typer.echo(f"mien: {error}", err=True)
        return False
    if as_json:
        answer(_held(held), as_json=True)
    else:
        typer.echo(_line(held))
    return True


def _held(held: WitnessResult) -> dict[str, Any]:
    return {
        "holds": True,
        "log": held.log.origin,
        "size": held.size,
        "held_against": held.before.checkpoint.size if held.before else None,
        "held_against_at": held.before.at if held.before else None,
        "vkey": held.log.verifier.vkey,
        "key_was_given": held.log.given,
        "kept_in": held.log.directory,
    }


def _line(held: WitnessResult) -> str:
    if held.before is not None:
        return f"{held.log.origin} holds: {held.size} entries, {held.more} more than on {held.before.at}"
    key = (
        "signed by the key that you gave" if held.log.given else f"its key believed as named: {held.log.verifier.vkey}"
    )
    return f"{held.log.origin} is kept from now on: {held.size} entries, {key}"
