"""`mien notice` and `mien relying-party`: what people are asked, and who asks."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from app.cli.command import Json, answer, opened, read_settings
from app.consent import notices
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.matching import sweeps
from app.parties import service as parties

notice_app = typer.Typer(no_args_is_help=True, help="The texts that people read before they decide.")
party_app = typer.Typer(no_args_is_help=True, help="Who may ask: relying parties and their keys.")

PartyId = Annotated[UUID, typer.Argument(metavar="ID", help="The relying_party_id that `add` printed.")]


@notice_app.command("publish")
def publish_notice(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: Json = False) -> None:
    """Put a notice in force for its purpose. People who consented to an older one stay under that one."""
    with opened(read_settings()) as vault, vault.data.write() as session:
        head, new = notices.publish(session, body=file.read_bytes(), now=utc_now())
    answer({**asdict(head), "new": new}, as_json=as_json)


def _show_party(party: parties.PartyView, *, as_json: bool, key: str | None = None) -> None:
    shown: dict[str, Any] = {"relying_party_id": party.id, "name": party.name}
    if key is not None:
        shown["api_key"] = key
    answer({**shown, "purposes": [str(purpose) for purpose in party.purposes]}, as_json=as_json)


@party_app.command("add")
def add_party(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    contact: Annotated[str, typer.Option(help="Where people reach it.")],
    purpose: Annotated[list[Purpose], typer.Option(help="What it may ask consent for; repeatable.")],
    alternative: Annotated[str, typer.Option(help="The way in without a face, at no extra cost or delay.")],
    as_json: Json = False,
) -> None:
    """Add a relying party and print its key, once."""
    with opened(read_settings()) as vault, vault.data.write() as session:
        party, key = parties.add(
            session, name=name, contact=contact, purposes=purpose, alternative=alternative, now=utc_now()
        )
    _show_party(party, as_json=as_json, key=key)


@party_app.command("list")
def list_parties(*, as_json: Json = False) -> None:
    """List every relying party, and which of them are stopped for having tried too many references."""
    with opened(read_settings()) as vault:
        stopped = sweeps.stopped(vault, now=utc_now())
        with vault.data.read() as session:
            known = parties.every(session)
    shown = [
        {
            "relying_party_id": str(party.id),
            "name": party.name,
            "purposes": [str(purpose) for purpose in party.purposes],
            "revoked_on": revoked_on.isoformat() if revoked_on else None,
            "stopped_until": stopped[party.id].isoformat(timespec="seconds") if party.id in stopped else None,
        }
        for party, revoked_on in known
    ]
    if as_json:
        typer.echo(json.dumps({"relying_parties": shown}))
        return
    for one in shown:
        standing = f"revoked {one['revoked_on']}" if one["revoked_on"] else ", ".join(one["purposes"] or ())
        stop = f"  stopped until {one['stopped_until']}" if one["stopped_until"] else ""
        typer.echo(f"{one['relying_party_id']}  {one['name']}  {standing}{stop}")


@party_app.command("rotate-key")
def rotate_party_key(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys and print a new one, once."""
    with opened(read_settings()) as vault:
        party, key = parties.rotate_key(vault, party_id=party_id, now=utc_now())
    _show_party(party, as_json=as_json, key=key)


@party_app.command("revoke")
def revoke_party(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys for good. People's consents to it stay theirs to withdraw."""
    with opened(read_settings()) as vault:
        party = parties.revoke(vault, party_id=party_id, now=utc_now())
    _show_party(party, as_json=as_json)
