"""`mien disputes`: the comparisons that people dispute, for the controller to investigate."""

import json

import typer

from app.cli.command import Json, read_settings
from app.cli.stores import open_stores
from app.comparisons import disputes
from app.parties import queries as parties

app = typer.Typer()


@app.command("disputes")
def list_disputes(*, as_json: Json = False) -> None:
    """List the comparisons that people say were not them, oldest first, each with the person's own note.

    The list does not name the person. The relying party can be asked about a comparison without a name.
    """
    with open_stores(read_settings()) as vault:
        readable = [(one, one.record) for one in disputes.list_disputes(vault) if one.record]
        with vault.data.read() as session:
            names = parties.list_names(session, {content.relying_party_id for _, content in readable})
    listed = [
        {
            "comparison_id": str(one.comparison_id),
            "relying_party_id": str(content.relying_party_id),
            "relying_party": names[content.relying_party_id],
            "purpose": content.purpose,
            "compared_on": content.compared_at.date().isoformat(),
            "disputed_on": one.disputed_on.isoformat(),
            "note": content.note,
        }
        for one, content in readable
    ]
    if as_json:
        typer.echo(json.dumps({"disputes": listed}))
        return
    for fields in listed:
        typer.echo(f"{fields['comparison_id']}  {fields['relying_party']}  compared {fields['compared_on']}")
        typer.echo(f"  disputed {fields['disputed_on']}: {fields['note'] or 'no note'}")
