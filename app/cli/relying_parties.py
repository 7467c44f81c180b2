"""`mien relying-party`: add, describe, list and end relying parties and their keys."""

from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

import typer

from app.callbacks.registration import set_callback
from app.cli.command import Json, print_result, read_settings
from app.cli.stores import open_stores
from app.comparisons import enumeration_guard
from app.faces.permit import Purpose
from app.kit.clock import utc_now
from app.kit.text import clean_pasted_code
from app.parties import queries
from app.parties import service as parties
from app.parties.tables import RelyingParty
from app.settings import MAX_OVERLAP_HOURS

app = typer.Typer(no_args_is_help=True, help="Relying parties, which ask for comparisons, and their keys.")

CONTACT = "Where people reach it."
CONTEXT = "Where and for what it compares faces. People see this text."
LEGAL_BASIS = "Its legal basis for comparing faces. People see this text."
ALTERNATIVE = "The way in without a face, at no extra cost or delay. People see this text."


def _parse_id(text: str) -> UUID:
    """Parse a pasted id."""
    try:
        return UUID(clean_pasted_code(text))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no id; `mien relying-party list` prints them") from error


PartyId = Annotated[
    UUID, typer.Argument(metavar="ID", help="The relying_party_id that `add` printed.", parser=_parse_id)
]


@app.command("add")
def add_party(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    *,
    contact: Annotated[str, typer.Option(help=CONTACT)],
    purpose: Annotated[list[Purpose], typer.Option(help="A purpose that it may ask consent for; repeatable.")],
    alternative: Annotated[str, typer.Option(help=ALTERNATIVE)],
    context: Annotated[str | None, typer.Option(help=CONTEXT)] = None,
    legal_basis: Annotated[str | None, typer.Option(help=LEGAL_BASIS)] = None,
    as_json: Json = False,
) -> None:
    """Add a relying party and print its key. The key is shown only once."""
    with open_stores(read_settings()) as vault, vault.data.write() as session:
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
    _print_party(party, as_json=as_json, key=key)


@app.command("describe")
def describe_party(
    party_id: PartyId,
    *,
    contact: Annotated[str | None, typer.Option(help=CONTACT)] = None,
    context: Annotated[str | None, typer.Option(help=CONTEXT)] = None,
    legal_basis: Annotated[str | None, typer.Option(help=LEGAL_BASIS)] = None,
    alternative: Annotated[str | None, typer.Option(help=ALTERNATIVE)] = None,
    as_json: Json = False,
) -> None:
    """Change the description of a relying party. Options that you leave out, and earlier receipts, stay the same."""
    changes = parties.PartyChanges(contact=contact, context=context, legal_basis=legal_basis, alternative=alternative)
    with open_stores(read_settings()) as vault:
        party = parties.update_party(vault, party_id=party_id, changes=changes, now=utc_now())
    _print_party(party, as_json=as_json, **_description(party))


@app.command("list")
def list_parties(*, as_json: Json = False) -> None:
    """List every relying party, also revoked ones: description, key end dates, and whether it is blocked.

    A relying party is blocked for a time after failing with too many references (see
    docs/explanation/failed-comparisons.md).
    """
    settings = read_settings()
    with open_stores(settings) as vault:
        blocked = enumeration_guard.stopped_parties(vault, settings, now=utc_now())
        with vault.data.read() as session:
            listed = [_list_entry(party, blocked.get(party.id)) for party in queries.list_all(session)]
    if as_json:
        print_result({"relying_parties": listed}, as_json=True)
        return
    for entry in listed:
        keys = [f"made {key['created_on']}, {_key_end(key['ends_at'])}" for key in entry.pop("keys")]
        print_result({**entry, "keys": keys}, as_json=False)
        typer.echo()


@app.command("rotate-key")
def rotate_party_key(
    party_id: PartyId,
    *,
    overlap: Annotated[
        int,
        typer.Option(
            metavar="HOURS", min=0, max=MAX_OVERLAP_HOURS, help="Hours that the old key keeps working; 0 ends it now."
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Print a new key for a relying party, once, and end its old keys now or after HOURS."""
    settings = read_settings()
    with open_stores(settings) as vault:
        party, key = parties.rotate_key(
            vault, party_id=party_id, settings=settings, overlap=timedelta(hours=overlap), now=utc_now()
        )
    _print_party(party, as_json=as_json, key=key)


@app.command("callback")
def set_party_callback(
    party_id: PartyId,
    url: Annotated[
        str | None, typer.Argument(metavar="URL", help="Receives the messages about consents: https://host/path.")
    ] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Send it no more messages.")] = False,
    as_json: Json = False,
) -> None:
    """Send a relying party a message, at URL, when a consent to it was given or has ended.

    See docs/how-to/receive-callbacks.md.
    """
    if (url is None) is not off:
        raise typer.BadParameter("give either a URL or --off")
    settings = read_settings()
    with open_stores(settings) as vault:
        set_callback(vault, party_id=party_id, to=url, private=settings.callback_private, now=utc_now())
    print_result({"relying_party_id": party_id, "callback": url or "off"}, as_json=as_json)


@app.command("revoke")
def revoke_party(party_id: PartyId, *, as_json: Json = False) -> None:
    """End a relying party's keys for good. Consents to it stay until the people withdraw them or they expire."""
    with open_stores(read_settings()) as vault:
        party = parties.revoke(vault, party_id=party_id, now=utc_now())
    _print_party(party, as_json=as_json)


def _print_party(party: RelyingParty, *, as_json: bool, key: str | None = None, **more: object) -> None:
    fields: dict[str, Any] = {"relying_party_id": party.relying_party_id, "name": party.name}
    if key is not None:
        fields["api_key"] = key
    print_result({**fields, "purposes": [str(purpose) for purpose in party.purposes], **more}, as_json=as_json)


def _description(party: RelyingParty) -> dict[str, Any]:
    return {name: getattr(party, name) for name in ("contact", "context", "legal_basis", "alternative")}


def _key_end(ends_at: datetime | None) -> str:
    return "in force" if ends_at is None else f"until {ends_at:%Y-%m-%d %H:%M} UTC"


def _list_entry(party: RelyingParty, blocked_until: datetime | None) -> dict[str, Any]:
    return {
        "relying_party_id": party.id,
        "name": party.name,
        "purposes": [str(purpose) for purpose in party.purposes],
        **_description(party),
        "added_on": party.added_on,
        "revoked_on": party.revoked_on,
        "stopped_until": None if blocked_until is None else blocked_until.isoformat(timespec="seconds"),
        "keys": [{"created_on": key.created_on, "ends_at": key.ends_at} for key in party.keys],
    }
