"""`mien notice`: publish the texts that people read before they consent."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from app.cli.command import Json, print_result, read_settings
from app.cli.stores import open_stores
from app.compliance import shipped_notices
from app.consent import notices
from app.kit.clock import utc_now
from app.kit.text import to_utf8

app = typer.Typer(no_args_is_help=True, help="The texts that people read before they consent.")


@app.command("publish")
def publish_notice(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: Json = False) -> None:
    """Put a notice in force for its purpose. Earlier consents stay under the notice that they were given on."""
    with open_stores(read_settings()) as vault, vault.data.write() as session:
        head, new = notices.publish(session, body=to_utf8(file.read_bytes()), now=utc_now())
    print_result({**asdict(head), "new": new}, as_json=as_json)


@app.command("publish-shipped")
def publish_shipped(*, as_json: Json = False) -> None:
    """Publish the notices that ship with Mien, filled in from the settings. Unchanged notices stay in force.

    A changed text gets the next version. Earlier consents stay under the older text until they end.
    """
    settings = read_settings()
    with open_stores(settings) as vault, vault.data.write() as session:
        published = shipped_notices.publish_shipped(session, settings, now=utc_now())
    if as_json:
        typer.echo(json.dumps({"notices": [{**asdict(notice.head), "new": notice.new} for notice in published]}))
        return
    for notice in published:
        head = notice.head
        typer.echo(f"{head.purpose}.{head.language}  version {head.version}  {'new' if notice.new else 'unchanged'}")
