"""`mien verify-log` and `mien witness`: check the transparency log from inside and from outside."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.cli.command import Json, print_result, read_settings
from app.cli.errors import error_text, refuse
from app.cli.stores import open_stores
from app.kit.clock import utc_now
from app.kit.progress import show_progress
from app.kit.text import clean_pasted_code
from app.transparency.audit.findings import Finding
from app.transparency.audit.service import AuditReport, audit_log
from app.transparency.witness.notes import WitnessNotesError
from app.transparency.witness.service import ContradictionError, UnprovenError, WitnessResult, check_log
from app.vault.open import DATA_FILE, REGISTER_FILE, check

app = typer.Typer()


@app.command("verify-log")
def verify_log(*, as_json: Json = False) -> None:
    """Check the whole transparency log and name the first entry that was changed. Changes nothing.

    Works also while the service runs. Exits 0 if the log is whole, 1 if not.
    For the next steps see docs/reference/transparency-log.md.
    """
    settings = read_settings()
    for file in (settings.data_dir / DATA_FILE, settings.register_dir / REGISTER_FILE):
        if settings.database_url is None and not file.exists():
            refuse(f"there is no {file}, so there is no transparency log to check")
    # The usual checks would refuse a changed schema and a damaged log, which this command has to report.
    with open_stores(settings, run=None) as vault, show_progress() as progress:
        check(vault, any_schema=True)
        report = audit_log(vault, now=utc_now(), progress=progress)
    if as_json:
        typer.echo(json.dumps(_audit_document(report)))
    else:
        _print_audit(report)
    if report.findings:
        raise typer.Exit(1)


def _audit_document(report: AuditReport) -> dict[str, Any]:
    return {
        "log": report.origin,
        "size": report.size,
        "whole": not report.findings,
        "first_bad_entry": report.findings[0].index if report.findings else None,
        "findings": [{**asdict(finding), "do": finding.do} for finding in report.findings],
        "warnings": report.warnings,
        "checked": asdict(report.checked),
    }


def _print_audit(report: AuditReport) -> None:
    for warning in report.warnings:
        typer.echo(f"mien: warning: {warning}", err=True)
    if report.findings:
        first, *more = report.findings
        typer.echo(f"mien: {_finding_text(first)}. {first.do}", err=True)
        for finding in more:
            typer.echo(f"mien: also: {_finding_text(finding)}", err=True)
        return
    print_result({"log": report.origin, "size": report.size, "whole": "yes", **asdict(report.checked)}, as_json=False)


def _finding_text(finding: Finding) -> str:
    where = "the transparency log" if finding.index is None else f"the first bad entry is {finding.index}"
    return f"{where}: {finding.what} ({finding.kind})"


@app.command()
def witness(
    url: Annotated[str, typer.Argument(metavar="URL", help="The service, as https://example.org.")],
    state: Annotated[
        Path, typer.Option("--state", metavar="DIR", help="Directory for the checkpoints; created if missing.")
    ] = Path("mien-witness"),
    every: Annotated[
        float | None, typer.Option("--every", metavar="SECONDS", min=1, help="Repeat the check until stopped.")
    ] = None,
    vkey: Annotated[
        str | None,
        typer.Option(
            "--vkey",
            metavar="V",
            help="The key of the log's checkpoints (name+id+base64), if you have it from another source.",
        ),
    ] = None,
    *,
    as_json: Json = False,
) -> None:
    """Store the checkpoints of a service's transparency log and check that each one continues the one before.

    Needs no store and no settings, and reads only public addresses of the service. Without --vkey the first run trusts
    the key that the service names, and later runs accept no other. Exits 0 if the log is consistent, 1 if it is not or
    if this cannot be checked now. See docs/reference/transparency-log.md.
    """
    while True:
        consistent = _check_once(url, state, vkey, as_json=as_json)
        if every is None:
            raise typer.Exit(0 if consistent else 1)
        sys.stdout.flush()
        time.sleep(every)


def _check_once(url: str, state: Path, vkey: str | None, *, as_json: bool) -> bool:
    """Check once, print the result, and return whether the log is consistent."""
    try:
        result = check_log(url, state=state, vkey=vkey and clean_pasted_code(vkey), now=utc_now())
    except (ContradictionError, UnprovenError, WitnessNotesError, OSError) as error:
        why = error_text(error) or str(error)
        if as_json:
            found, evidence = (
                (error.found, error.evidence) if isinstance(error, ContradictionError) else ("unproven", None)
            )
            print_result({"holds": False, "found": found, "reason": why, "evidence": evidence}, as_json=True)
        else:
            typer.echo(f"mien: {why}", err=True)
        return False
    if as_json:
        print_result(_witness_document(result), as_json=True)
    else:
        typer.echo(_witness_line(result))
    return True


def _witness_document(result: WitnessResult) -> dict[str, Any]:
    return {
        "holds": True,
        "log": result.log.origin,
        "size": result.size,
        "held_against": result.before.checkpoint.size if result.before else None,
        "held_against_at": result.before.at if result.before else None,
        "vkey": result.log.verifier.vkey,
        "key_was_given": result.log.given,
        "kept_in": result.log.directory,
    }


def _witness_line(result: WitnessResult) -> str:
    if result.before is not None:
        return (
            f"{result.log.origin} is consistent: {result.size} entries, {result.more} more than on {result.before.at}"
        )
    key = "signed by the key that you gave" if result.log.given else f"trusting the key {result.log.verifier.vkey}"
    return f"{result.log.origin} is watched from now on: {result.size} entries, {key}"
