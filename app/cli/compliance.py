"""`mien live-check` and the papers of a controller, each from the configuration as it is."""

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated

import typer

from app.cli.command import Json, answer, opened, read_settings
from app.compliance.documents import dpia_inputs as dpia
from app.compliance.documents import privacy_notice as notice
from app.compliance.documents import records_of_processing as records
from app.compliance.documents.common import Asked, Paper
from app.compliance.documents.markdown import rendered
from app.compliance.live_requirements import service as lawful
from app.faces.cards.select import chosen_card
from app.kit.clock import utc_now

app = typer.Typer()


class Format(StrEnum):
    """How a paper is printed."""

    JSON = "json"
    MARKDOWN = "markdown"


As = Annotated[Format, typer.Option("--format", help="How it is printed; --json is --format json.")]


def _made(make: Callable[[Asked], Paper]) -> Paper:
    """Make a paper of the service as it is now."""
    settings = read_settings()
    with opened(settings) as vault:
        return make(Asked(vault=vault, settings=settings, card=chosen_card(settings), now=utc_now()))


def _print(paper: Paper, *, as_json: bool) -> None:
    if as_json:
        answer(paper, as_json=True)
    else:
        typer.echo(rendered(paper))


@app.command("records-of-processing")
def records_of_processing(*, form: As = Format.MARKDOWN, as_json: Json = False) -> None:
    """Print the record of processing activities (GDPR Art. 30) of this service as it is configured now."""
    _print(_made(records.record), as_json=as_json or form is Format.JSON)


@app.command("dpia-inputs")
def dpia_inputs(*, form: As = Format.MARKDOWN, as_json: Json = False) -> None:
    """Print what a data protection impact assessment (GDPR Art. 35) starts from; its questions are yours to answer."""
    _print(_made(dpia.inputs), as_json=as_json or form is Format.JSON)


@app.command("privacy-notice")
def privacy_notice(*, as_json: Json = False) -> None:
    """Print what people are to be told when their data is collected (GDPR Art. 13), in Markdown."""
    made = _made(lambda asked: {"profile": asked.settings.profile, "markdown": notice.text(asked)})
    if as_json:
        answer(made, as_json=True)
    else:
        typer.echo(made["markdown"])


@app.command("live-check")
def live_check(*, as_json: Json = False) -> None:
    """Say what is there and what is missing for MIEN_PROFILE=live, each with its reason and what to do.

    In either profile. Exits 0 if nothing is missing, 1 if something is. See docs/how-to/go-live.md.
    """
    settings = read_settings()
    with opened(settings) as vault:
        found = lawful.look(vault, settings=settings, card=chosen_card(settings))
    if as_json:
        requirements = [asdict(one) for one in found.requirements]
        complete = not found.missing
        answer(
            {
                "profile": settings.profile,
                "complete": complete,
                "requirements": requirements,
                "warnings": list(found.warnings),
            },
            as_json=True,
        )
    else:
        for one in found.requirements:
            typer.echo(f"{'ok      ' if one.met else 'MISSING '} {one.name}: {one.found}")
            if not one.met:
                typer.echo(f"         why: {one.why}")
                typer.echo(f"         do:  {one.do}")
        for warning in found.warnings:
            typer.echo(f"warning  {warning}")
    if found.missing:
        raise typer.Exit(1)
