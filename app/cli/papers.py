"""`mien live-check` and the papers of a controller, each from the configuration as it is."""

from dataclasses import asdict

import typer

from app.cli.command import Json, answer, opened, read_settings
from app.faces.cards import load_card
from app.lawful import service as lawful

app = typer.Typer()


@app.command("live-check")
def live_check(*, as_json: Json = False) -> None:
    """Say what is there and what is missing for MIEN_PROFILE=live, each with its reason and what to do.

    In either profile. Exits 0 if nothing is missing, 1 if something is. See docs/live.md.
    """
    settings = read_settings()
    with opened(settings) as vault:
        found = lawful.look(vault, settings=settings, card=load_card(settings.engine))
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
