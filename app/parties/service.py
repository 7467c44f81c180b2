"""What the operator does with relying parties, and what others may know of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import structlog
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.faces.permit import Purpose
from app.kit.crash_points import operation
from app.kit.text import REASON, readable
from app.parties import keys
from app.parties.tables import PartyPurpose, RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault import dead_rows
from app.vault.tables import EndedKind
from app.vault.vault import Vault

log = structlog.get_logger()
PARTY_PURPOSES = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)
"""The purposes that a relying party can ask for; `template_renewal` is the controller's own."""


class PartyError(ValueError):
    """The operator's command cannot be carried out; the text says why."""


@dataclass(frozen=True, slots=True)
class PublicParty:
    """A relying party as anybody may see it."""

    id: UUID
    name: str
    contact: str
    alternative: str
    purposes: list[Purpose]
    context: str | None = None
    """Where and for what it asks; None where the operator has not said."""
    legal_basis: str | None = None
    """On what ground it asks; None where the operator has not said."""


def public_view(session: Session, party: RelyingParty) -> PublicParty:
    """Return a party as anybody may see it."""
    purposes = session.scalars(select(PartyPurpose.purpose).where(PartyPurpose.relying_party_id == party.id))
    return PublicParty(
        id=party.id,
        name=party.name,
        contact=party.contact,
        alternative=party.alternative,
        purposes=sorted(purposes),
        context=party.context,
        legal_basis=party.legal_basis,
    )


def add(
    session: Session,
    *,
    name: str,
    contact: str,
    purposes: Collection[Purpose],
    alternative: str,
    context: str | None = None,
    legal_basis: str | None = None,
    now: datetime,
) -> tuple[PublicParty, str]:
    """Add a relying party; returns it and its key, which cannot be read again.

    Raises:
        PartyError: something is blank or cannot be read, the name is taken, or a purpose is not a relying party's.
    """
    told = {"contact": contact, "alternative": alternative, "context": context, "legal basis": legal_basis}
    check_texts(name=name, **told)
    if session.scalar(select(RelyingParty.id).where(RelyingParty.name == name)) is not None:
        msg = f"there is a relying party named {name!r} already; give this one another name"
        raise PartyError(msg)
    _refuse_not_offered(purposes)
    party = RelyingParty(
        id=uuid4(),
        name=name,
        contact=contact,
        alternative=alternative,
        context=context,
        legal_basis=legal_basis,
        added_on=now.date(),
        revoked_on=None,
        callback=None,
        callback_id=None,
    )
    session.add(party)
    session.flush()
    session.add_all(PartyPurpose(relying_party_id=party.id, purpose=purpose) for purpose in set(purposes))
    append_open_entry(session, LoggedAct.RELYING_PARTY_ADDED, relying_party_id=str(party.id), at=now.isoformat())
    return public_view(session, party), keys.add(session, party.id, now=now)


def _refuse_not_offered(purposes: Collection[Purpose]) -> None:
    if not purposes or not set(purposes) <= set(PARTY_PURPOSES):
        msg = f"a relying party's purposes are {' and '.join(PARTY_PURPOSES)}"
        raise PartyError(msg)


def check_texts(**told: str | None) -> None:
    """Refuse what is blank, or what people cannot be shown as it is; what was not said at all is let be.

    Raises:
        PartyError: one of *told*, by what it is.
    """
    for said, value in told.items():
        if value is None:
            continue
        if not value.strip():
            msg = f"a relying party has a name, a contact and an alternative; the {said} is blank"
            raise PartyError(msg)
        if not readable(value):
            msg = f"the {said} cannot be shown to people as it is. {REASON}"
            raise PartyError(msg)


@operation("rotating a relying party's key")
def rotate_key(
    vault: Vault, *, party_id: UUID, overlap: timedelta = timedelta(), now: datetime
) -> tuple[PublicParty, str]:
    """Give the party a new key, and end its old one: with the new one, or after *overlap*.

    Raises:
        PartyError: there is no such party, or it is revoked; or the overlap is longer than the settings let it be.
    """
    longest = vault.settings.key_overlap_hours
    if overlap > timedelta(hours=longest):
        msg = f"an old key goes on for at most {longest} hours (MIEN_KEY_OVERLAP_HOURS)"
        raise PartyError(msg)
    until = now + overlap if overlap else None
    with vault.change() as change:
        party = get_active(change.session, party_id)
        keys.replace(change, party_id, until=until, now=now)
        append_open_entry(
            change.session,
            LoggedAct.RELYING_PARTY_KEY_ROTATED,
            relying_party_id=str(party_id),
            at=now.isoformat(),
            old_key_until=None if until is None else until.isoformat(),
        )
        return public_view(change.session, party), keys.add(change.session, party_id, now=now)


@operation("revoking a relying party")
def revoke(vault: Vault, *, party_id: UUID, now: datetime) -> PublicParty:
    """End the party's keys for good: it can ask nothing, and nobody can newly consent to it.

    Raises:
        PartyError: there is no such party, or it is revoked.
    """
    with vault.change() as change:
        party = get_active(change.session, party_id)
        keys.end_all(change, party_id, now=now)
        party.revoked_on = now.date()
        change.end(EndedKind.RELYING_PARTY, party_id, ended_as="revoked", on=now.date())
        append_open_entry(
            change.session, LoggedAct.RELYING_PARTY_REVOKED, relying_party_id=str(party_id), at=now.isoformat()
        )
        return public_view(change.session, party)


def get_active(session: Session, party_id: UUID) -> RelyingParty:
    """Return the row of a party that is not revoked.

    Raises:
        PartyError: there is no such party, or it is revoked.
    """
    party = session.get(RelyingParty, party_id)
    if party is None or party.revoked_on is not None:
        msg = f"there is no relying party {party_id}, or it is revoked"
        raise PartyError(msg)
    return party


def get(session: Session, party_id: UUID) -> PublicParty | None:
    """Return one relying party, revoked or not: it stays named in people's histories."""
    party = session.get(RelyingParty, party_id)
    return None if party is None else public_view(session, party)


def list_recipients(session: Session, party_ids: Collection[UUID]) -> Sequence[RelyingParty]:
    """Return these relying parties by id, revoked ones too."""
    return session.scalars(select(RelyingParty).where(RelyingParty.id.in_(party_ids)).order_by(RelyingParty.id)).all()


def list_names(session: Session, party_ids: Collection[UUID]) -> dict[UUID, str]:
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


def list_active(session: Session, *, limit: int, after: UUID | None) -> Sequence[PublicParty]:
    """List who may ask now, by id."""
    query = select(RelyingParty).where(RelyingParty.revoked_on.is_(None)).order_by(RelyingParty.id).limit(limit)
    if after is not None:
        query = query.where(RelyingParty.id > after)
    return [public_view(session, party) for party in session.scalars(query)]


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Take away what ended before a backup was restored: keys, and the standing of parties. Returns how many."""
    removed = keys.purge_dead(vault, now=now)
    for page in dead_rows.pages(vault, RelyingParty.id, where=[RelyingParty.revoked_on.is_(None)]):
        revoked = dead_rows.tombstones(vault, EndedKind.RELYING_PARTY, (row.id for row in page))
        if revoked:
            with vault.data.write() as session:
                for party in session.scalars(select(RelyingParty).where(RelyingParty.id.in_(revoked))):
                    party.revoked_on = revoked[party.id].ended_on
                    # The entry of that was lost with the commit, or with the data.
                    append_open_entry(
                        session, LoggedAct.RELYING_PARTY_REVOKED, relying_party_id=str(party.id), at=now.isoformat()
                    )
            removed += len(revoked)
    return removed + _take_callbacks_away(vault)


def _take_callbacks_away(vault: Vault) -> int:
    """Take away the callbacks that had ended before a backup was restored; the operator sets those of now again."""
    removed = 0
    for page in dead_rows.pages(vault, RelyingParty.id, RelyingParty.callback_id):
        ended = dead_rows.tombstones(vault, EndedKind.CALLBACK, (row.callback_id for row in page if row.callback_id))
        if ended:
            with vault.data.write() as session:
                gone = update(RelyingParty).where(RelyingParty.callback_id.in_(ended))
                session.execute(gone.values(callback=None, callback_id=None))
            log.warning("callbacks that had ended came with a backup and are gone", count=len(ended))
            removed += len(ended)
    return removed
