"""What the operator does with relying parties, and what others may know of them."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import BindParameter, ColumnElement, bindparam, delete, exists, select
from sqlalchemy.orm import Session

from app.faces.permit import Purpose
from app.kit.auth import Principal, Role, digest, new_token
from app.kit.db import Store
from app.kit.prepared import Prepared, Statements
from app.kit.steps import operation
from app.kit.text import REASON, readable
from app.ledger.entries import Act, append_open
from app.parties.tables import PartyKey, PartyPurpose, RelyingParty
from app.vault import purge
from app.vault.tables import EndedKind
from app.vault.vault import Vault

KEY_PREFIX = "mien_rp_"
OFFERED = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)
"""The purposes that a relying party can ask for; `template_renewal` is the controller's own."""


class PartyError(ValueError):
    """The operator's command cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class PartyView:
    """A relying party as anybody may see it."""

    id: UUID
    name: str
    contact: str
    alternative: str
    purposes: list[Purpose]


def _view(session: Session, party: RelyingParty) -> PartyView:
    purposes = session.scalars(select(PartyPurpose.purpose).where(PartyPurpose.relying_party_id == party.id))
    return PartyView(party.id, party.name, party.contact, party.alternative, sorted(purposes))


def add(
    session: Session, *, name: str, contact: str, purposes: Collection[Purpose], alternative: str, now: datetime
) -> tuple[PartyView, str]:
    """Add a relying party; returns it and its key, which cannot be read again.

    Raises:
        PartyError: something is blank or cannot be read, the name is taken, or a purpose is not a relying party's.
    """
    for said, value in (("name", name), ("contact", contact), ("alternative", alternative)):
        if not value.strip():
            msg = f"a relying party has a name, a contact and an alternative; the {said} is blank"
            raise PartyError(msg)
        if not readable(value):
            msg = f"the {said} cannot be shown to people as it is. {REASON}"
            raise PartyError(msg)
    if session.scalar(select(RelyingParty.id).where(RelyingParty.name == name)) is not None:
        msg = f"there is a relying party named {name!r} already; give this one another name"
        raise PartyError(msg)
    if not purposes or not set(purposes) <= set(OFFERED):
        msg = f"a relying party's purposes are {' and '.join(OFFERED)}"
        raise PartyError(msg)
    party = RelyingParty(
        id=uuid4(), name=name, contact=contact, alternative=alternative, added_on=now.date(), revoked_on=None
    )
    session.add(party)
    session.flush()
    session.add_all(PartyPurpose(relying_party_id=party.id, purpose=purpose) for purpose in set(purposes))
    append_open(session, Act.RELYING_PARTY_ADDED, relying_party_id=str(party.id), at=now.isoformat())
    return _view(session, party), _add_key(session, party.id, now)


def _add_key(session: Session, party_id: UUID, now: datetime) -> str:
    key = new_token(KEY_PREFIX)
    session.add(PartyKey(id=uuid4(), relying_party_id=party_id, digest=digest(key), created_on=now.date()))
    session.flush()
    return key


@operation("rotating a relying party's key")
def rotate_key(vault: Vault, *, party_id: UUID, now: datetime) -> tuple[PartyView, str]:
    """End every key of the party and give it a new one.

    Raises:
        PartyError: there is no such party, or it is revoked.
    """
    with vault.change() as change:
        party = _standing(change.session, party_id)
        _delete_keys(change.session, party_id, end=partial(change.replaced, EndedKind.RELYING_PARTY_KEY), now=now)
        append_open(change.session, Act.RELYING_PARTY_KEY_ROTATED, relying_party_id=str(party_id), at=now.isoformat())
        return _view(change.session, party), _add_key(change.session, party_id, now)


@operation("revoking a relying party")
def revoke(vault: Vault, *, party_id: UUID, now: datetime) -> PartyView:
    """End the party's keys for good: it can ask nothing, and nobody can newly consent to it.

    Raises:
        PartyError: there is no such party, or it is revoked.
    """
    with vault.change() as change:
        party = _standing(change.session, party_id)
        _delete_keys(change.session, party_id, end=partial(change.end, EndedKind.RELYING_PARTY_KEY), now=now)
        party.revoked_on = now.date()
        change.end(EndedKind.RELYING_PARTY, party_id, ended_as="revoked", on=now.date())
        append_open(change.session, Act.RELYING_PARTY_REVOKED, relying_party_id=str(party_id), at=now.isoformat())
        return _view(change.session, party)


def _standing(session: Session, party_id: UUID) -> RelyingParty:
    party = session.get(RelyingParty, party_id)
    if party is None or party.revoked_on is not None:
        msg = f"there is no relying party {party_id}, or it is revoked"
        raise PartyError(msg)
    return party


def _delete_keys(session: Session, party_id: UUID, *, end: Callable[..., None], now: datetime) -> None:
    for key_id in session.scalars(select(PartyKey.id).where(PartyKey.relying_party_id == party_id)).all():
        session.execute(delete(PartyKey).where(PartyKey.id == key_id))
        end(key_id, ended_as="revoked", on=now.date())


_BY_KEY = Prepared(
    select(PartyKey.relying_party_id, PartyKey.id)
    .join(RelyingParty, RelyingParty.id == PartyKey.relying_party_id)
    .where(PartyKey.digest == bindparam("digest"), RelyingParty.revoked_on.is_(None))
)


def authenticate(data: Store, token_digest: bytes) -> Principal | None:
    """Find the relying party whose key this is."""
    with data.reading() as reading:
        found = reading.first(_BY_KEY, digest=token_digest)
    return None if found is None else Principal(Role.RELYING_PARTY, *found)


def may_still_ask(key_id: UUID | BindParameter[UUID]) -> ColumnElement[bool]:
    """Select nothing once this key has ended; for a decision that was long in the making."""
    return exists().where(PartyKey.id == key_id)


def get(session: Session, party_id: UUID) -> PartyView | None:
    """Return one relying party, revoked or not: it stays named in people's histories."""
    party = session.get(RelyingParty, party_id)
    return None if party is None else _view(session, party)


_RECIPIENT = Prepared(
    select(RelyingParty.id, RelyingParty.name, RelyingParty.contact, RelyingParty.alternative).where(
        RelyingParty.id == bindparam("party_id")
    )
)


class Recipient(NamedTuple):
    """A relying party as those who decided about it are told of it, revoked or not."""

    id: UUID
    name: str
    contact: str
    alternative: str


def recipients(reading: Statements, party_ids: Collection[UUID]) -> Sequence[Recipient]:
    """Return these relying parties, by their ids."""
    found = (reading.first(_RECIPIENT, party_id=party_id) for party_id in sorted(party_ids))
    return [Recipient(*row) for row in found if row is not None]


def names(session: Session, party_ids: Collection[UUID]) -> dict[UUID, str]:
    """Return the names of relying parties, revoked ones too: they stay named in people's histories."""
    rows = session.execute(select(RelyingParty.id, RelyingParty.name).where(RelyingParty.id.in_(party_ids)))
    return {row.id: row.name for row in rows}


def may_ask(session: Session, party_id: UUID, purpose: Purpose) -> bool:
    """Say whether consent can be given to this party for this purpose."""
    return (
        session.scalar(
            select(PartyPurpose.purpose)
            .join(RelyingParty, RelyingParty.id == PartyPurpose.relying_party_id)
            .where(
                PartyPurpose.relying_party_id == party_id,
                PartyPurpose.purpose == purpose,
                RelyingParty.revoked_on.is_(None),
            )
        )
        is not None
    )


def standing(session: Session, *, limit: int, after: UUID | None) -> Sequence[PartyView]:
    """List who may ask now, by id."""
    query = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id).limit(limit)
    if after is not None:
        query = query.where(RelyingParty.id > after)
    return [_view(session, party) for party in session.scalars(query)]


def every(session: Session) -> Sequence[tuple[PartyView, date | None]]:
    """List every relying party by name, and the day on which it was revoked, if it was: for the operator."""
    rows = session.scalars(select(RelyingParty).order_by(RelyingParty.name))
    return [(_view(session, party), party.revoked_on) for party in rows]


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Take away what ended before a backup was restored: keys, and the standing of parties. Returns how many."""
    removed = 0
    for page in purge.pages(vault, PartyKey.id):
        ended = purge.tombstones(vault, EndedKind.RELYING_PARTY_KEY, (row.id for row in page))
        if ended:
            with vault.data.write() as session:
                session.execute(delete(PartyKey).where(PartyKey.id.in_(ended)))
            removed += len(ended)
    for page in purge.pages(vault, RelyingParty.id, where=[RelyingParty.revoked_on.is_(None)]):
        revoked = purge.tombstones(vault, EndedKind.RELYING_PARTY, (row.id for row in page))
        if revoked:
            with vault.data.write() as session:
                for party in session.scalars(select(RelyingParty).where(RelyingParty.id.in_(revoked))):
                    party.revoked_on = revoked[party.id].ended_on
                    # The entry of that was lost with the commit, or with the data.
                    append_open(session, Act.RELYING_PARTY_REVOKED, relying_party_id=str(party.id), at=now.isoformat())
            removed += len(revoked)
    return removed
