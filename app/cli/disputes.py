"""`mien disputes`: what people say was not them, for the controller to look into."""

import json
from typing import Any

import typer

from app.cli.command import Json, opened, read_settings
from app.comparisons import disputes
from app.parties import service as parties

app = typer.Typer()


@app.command("disputes")
def list_disputes(*, as_json: Json = False) -> None:
    """List the comparisons that people say were not them, the oldest first, with the note that they added.

    The note is the person's own text. Who they are is not said, and need not be known to ask the relying party.
    """
    with opened(read_settings()) as vault:
        found = disputes.every(vault)
        with vault.data.read() as session:
            names = parties.names(session, {one.told.relying_party_id for one in found if one.told})
    shown = [_shown(one, one.told, names) for one in found if one.told]
    if as_json:
        typer.echo(json.dumps({"disputes": shown}))
        return
    for one in shown:
        typer.echo(f"{one['comparison_id']}  {one['relying_party']}  compared {one['compared_on']}")
        typer.echo(f"  disputed {one['disputed_on']}: {one['note'] or 'no note'}")


def _shown(one: disputes.Open, told: disputes.Disputed, names: dict[Any, str]) -> dict[str, str | None]:
    return {
        "comparison_id": str(one.comparison_id),
        "relying_party_id": str(told.relying_party_id),
        "relying_party": names[told.relying_party_id],
        "purpose": told.purpose,
        "compared_on": told.compared_at.date().isoformat(),
        "disputed_on": one.disputed_on.isoformat(),
        "note": told.note,
    }
