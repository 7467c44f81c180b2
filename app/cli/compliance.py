"""`mien live-check` and the documents of a controller, each made from the current configuration."""

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from app.cli.command import Json, print_result, read_settings
from app.cli.stores import open_stores
from app.compliance import notice_facts
from app.compliance.documents import dpia_inputs as dpia
from app.compliance.documents import privacy_notice as notice
from app.compliance.documents import records_of_processing as records
from app.compliance.documents.common import Document, Source
from app.compliance.documents.markdown import render
from app.compliance.live_requirements import service as live_requirements
from app.faces.cards.select import select_card
from app.faces.workers.sandbox_probe import find_missing_protections
from app.kit.clock import utc_now

app = typer.Typer()


class Format(StrEnum):
    """Output format of a document."""

    JSON = "json"
    MARKDOWN = "markdown"


FormatOption = Annotated[Format, typer.Option("--format", help="Output format; --json is --format json.")]


@app.command("records-of-processing")
def records_of_processing(*, form: FormatOption = Format.MARKDOWN, as_json: Json = False) -> None:
    """Print the record of processing activities (GDPR Art. 30) of this service as it is configured now."""
    _print(_make(records.record), as_json=as_json or form is Format.JSON)


@app.command("dpia-inputs")
def dpia_inputs(*, form: FormatOption = Format.MARKDOWN, as_json: Json = False) -> None:
    """Print the facts for a data protection impact assessment (GDPR Art. 35), and the questions left to people."""
    _print(_make(dpia.inputs), as_json=as_json or form is Format.JSON)


@app.command("privacy-notice")
def privacy_notice(*, as_json: Json = False) -> None:
    """Print the privacy notice (GDPR Art. 13) in Markdown: the text for people whose data is collected."""
    made = _make(lambda source: {"profile": source.settings.profile, "markdown": notice.text(source)})
    if as_json:
        print_result(made, as_json=True)
    else:
        typer.echo(made["markdown"])


@app.command("live-check")
def live_check(*, as_json: Json = False) -> None:
    """List the requirements of MIEN_PROFILE=live: met or missing, the reason, and the next step.

    Works in either profile. Exits 0 if all are met, 1 if one is missing. See docs/how-to/go-live.md.
    """
    settings = read_settings()
    with open_stores(settings) as vault:
        card = select_card(settings)
        facts = notice_facts.collect(settings, card)
        sandbox = find_missing_protections()
        report = live_requirements.check(vault, settings=settings, card=card, facts=facts, sandbox=sandbox)
    if as_json:
        fields = {
            "profile": settings.profile,
            "complete": not report.missing,
            "requirements": [asdict(one) for one in report.requirements],
            "warnings": list(report.warnings),
        }
        print_result(fields, as_json=True)
    else:
        for one in report.requirements:
            typer.echo(f"{'ok      ' if one.met else 'MISSING '} {one.name}: {one.found}")
            if not one.met:
                typer.echo(f"         why: {one.why}")
                typer.echo(f"         do:  {one.do}")
        for warning in report.warnings:
            typer.echo(f"warning  {warning}")
    if report.missing:
        raise typer.Exit(1)


def _make(make: Callable[[Source], Document]) -> Document:
    settings = read_settings()
    with open_stores(settings) as vault:
        return make(Source(vault=vault, settings=settings, card=select_card(settings), now=utc_now()))


def _print(document: Document, *, as_json: bool) -> None:
    if as_json:
        print_result(document, as_json=True)
    else:
        typer.echo(render(document))
