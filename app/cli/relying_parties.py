"""`mien notice` and `mien relying-party`: what people are asked, and who asks."""

import json
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from app.callbacks.registration import set_callback
from app.cli.command import Json, answer, opened, read_settings
from app.comparisons import enumeration_guard
from app.compliance import shipped_notices
from app.consent import notices
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.parties import describing
from app.parties import service as parties
from app.parties.describing import Described
from app.settings import MOST_OVERLAP_HOURS

notice_app = typer.Typer(no_args_is_help=True, help="The texts that people read before they decide.")
party_app = typer.Typer(no_args_is_help=True, help="Who may ask: relying parties and their keys.")

CONTACT = "Where people reach it."
CONTEXT = "Where and for what it asks, as people are told."
LEGAL_BASIS = "On what ground it asks, as people are told."
ALTERNATIVE = "The way in without a face, at no extra cost or delay."

PartyId = Annotated[UUID, typer.Argument(metavar="ID", help="The relying_party_id that `add` printed.")]


@notice_app.command("publish")
def publish_notice(file: Annotated[Path, typer.Argument(metavar="FILE")], *, as_json: Json = False) -> None:
    """Put a notice in force for its purpose. People who consented to an older one stay under that one."""
    with opened(read_settings()) as vault, vault.data.write() as session:
        head, new = notices.publish(session, body=file.read_bytes(), now=utc_now())
    answer({**asdict(head), "new": new}, as_json=as_json)


@notice_app.command("publish-shipped")
def publish_shipped(*, as_json: Json = False) -> None:
    """Put the notices that ship with Mien in force as the settings have them. Those that are so already stay.

    A text that changed is a new version: people who consented to the older one stay under that one until it ends.
    """
    settings = read_settings()
    with opened(settings) as vault, vault.data.write() as session:
        done = shipped_notices.publish_shipped(session, settings, now=utc_now())
    if as_json:
        typer.echo(json.dumps({"notices": [{**asdict(one.head), "new": one.new} for one in done]}))
        return
    for one in done:
        typer.echo(
            f"{one.head.purpose}.{one.head.language}  version {one.head.version}  {'new' if one.new else 'as it was'}"
        )


def _show_party(party: parties.PartyView, *, as_json: bool, key: str | None = None, **more: object) -> None:
    shown: dict[str, Any] = {"relying_party_id": party.id, "name": party.name}
    if key is not None:
        shown["api_key"] = key
    answer({**shown, "purposes": [str(purpose) for purpose in party.purposes], **more}, as_json=as_json)


@party_app.command("add")
def add_party(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    contact: Annotated[str, typer.Option(help=CONTACT)],
    purpose: Annotated[list[Purpose], typer.Option(help="What it may ask consent for; repeatable.")],
    alternative: Annotated[str, typer.Option(help=ALTERNATIVE)],
    context: Annotated[str | None, typer.Option(help=CONTEXT)] = None,
    legal_basis: Annotated[str | None, typer.Option(help=LEGAL_BASIS)] = None,
    as_json: Json = False,
) -> None:
    """Add a relying party and print its key, once."""
    with opened(read_settings()) as vault, vault.data.write() as session:
        party, key = parties.add(
            session,
            name=name,
            contact=contact,
            purposes=purpose,
            alternative=alternative,
            context=context,
            legal_basis=legal_basis,
            now=utc_now(),
        )
    _show_party(party, as_json=as_json, key=key)


@party_app.command("describe")
def describe_party(
    party_id: PartyId,
    *,
    contact: Annotated[str | None, typer.Option(help=CONTACT)] = None,
    context: Annotated[str | None, typer.Option(help=CONTEXT)] = None,
    legal_basis: Annotated[str | None, typer.Option(help=LEGAL_BASIS)] = None,
    alternative: Annotated[str | None, typer.Option(help=ALTERNATIVE)] = None,
    as_json: Json = False,
) -> None:
    """Say something else of a relying party. What is left out stays as it is, and so do receipts given before."""
    said = Described(contact=contact, context=context, legal_basis=legal_basis, alternative=alternative)
    with opened(read_settings()) as vault:
        party = describing.describe(vault, party_id=party_id, described=said, now=utc_now())
    _show_party(party, as_json=as_json, **_said(party))


def _said(party: parties.PartyView) -> dict[str, Any]:
    told = asdict(party)
    return {name: told[name] for name in ("contact", "context", "legal_basis", "alternative")}


@party_app.command("list")
def list_parties(*, as_json: Json = False) -> None:
    """List every relying party, revoked ones too: what is said of it, until when its keys work, and if it is stopped.

    One is stopped for a time when it failed with too many references (docs/explanation/failed-comparisons.md).
    """
    with opened(read_settings()) as vault:
        stopped = enumeration_guard.stopped(vault, now=utc_now())
        with vault.data.read() as session:
            found = [_listed(one, stopped.get(one.party.id)) for one in describing.every(session)]
    if as_json:
        answer({"relying_parties": found}, as_json=True)
        return
    for one in found:
        keys = [f"made {key['created_on']}, {_until(key['ends_at'])}" for key in one.pop("keys")]
        answer({**one, "keys": keys}, as_json=False)
        typer.echo()


def _until(ends_at: datetime | None) -> str:
    return "in force" if ends_at is None else f"until {ends_at:%Y-%m-%d %H:%M} UTC"


def _listed(one: describing.Standing, stopped_until: datetime | None) -> dict[str, Any]:
    return {
        "relying_party_id": one.party.id,
        "name": one.party.name,
        "purposes": [str(purpose) for purpose in one.party.purposes],
        **_said(one.party),
        "added_on": one.added_on,
        "revoked_on": one.revoked_on,
        "stopped_until": None if stopped_until is None else stopped_until.isoformat(timespec="seconds"),
        "keys": [asdict(key) for key in one.keys],
    }


@party_app.command("rotate-key")
def rotate_party_key(
    party_id: PartyId,
    *,
    overlap: Annotated[
        int,
        typer.Option(
            metavar="HOURS",
            min=0,
            max=MOST_OVERLAP_HOURS,
            help="How long the old key goes on working; 0 ends it at once.",
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Print a new key for a relying party, once, and end its old ones, at once or after HOURS."""
    with opened(read_settings()) as vault:
        party, key = parties.rotate_key(vault, party_id=party_id, overlap=timedelta(hours=overlap), now=utc_now())
    _show_party(party, as_json=as_json, key=key)


@party_app.command("callback")
def set_party_callback(
    party_id: PartyId,
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Where it is told of consents: https://host/path.")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Tell it nothing any more.")] = False,
    as_json: Json = False,
) -> None:
    """Have a relying party told, at URL, when a consent to it was given or has ended.

    See docs/how-to/receive-callbacks.md.
    """
    if (url is None) is not off:
        msg = "give either a URL or --off"
        raise typer.BadParameter(msg)
    settings = read_settings()
    with opened(settings) as vault:
        set_callback(vault, party_id=party_id, to=url, private=settings.callback_private, now=utc_now())
    answer({"relying_party_id": party_id, "callback": url or "off"}, as_json=as_json)


@party_app.command("revoke")
def revoke_party(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys for good. People's consents to it stay theirs to withdraw."""
    with opened(read_settings()) as vault:
        party = parties.revoke(vault, party_id=party_id, now=utc_now())
    _show_party(party, as_json=as_json)
