"""Commands of the operator on relying parties."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.faces.permit import Purpose
from app.kit.crash_points import operation
from app.kit.errors import OperatorError
from app.kit.text import REASON, is_blank, readable, visible
from app.parties import keys, queries
from app.parties.tables import PartyPurpose, RelyingParty
from app.settings import Settings
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.ending import ends
from app.vault.tables import EndedKind
from app.vault.vault import Vault

PARTY_PURPOSES = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)
"""The purposes of relying parties; `template_renewal` is the controller's own."""


class PartyError(OperatorError, ValueError):
    """The operator's command cannot be carried out; the text states the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyChanges:
    """New texts of a relying party; None leaves a text unchanged."""

    contact: str | None = None
    context: str | None = None
    legal_basis: str | None = None
    alternative: str | None = None


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
) -> tuple[RelyingParty, str]:
    """Add a relying party. Returns it and its key, which cannot be read again.

    Raises:
        PartyError: a text is blank, too long or unreadable, the name is taken, or a purpose is not for relying parties.
    """
    texts = {"contact": contact, "alternative": alternative, "context": context, "legal_basis": legal_basis}
    _check_texts({"name": name, **texts})
    # Also revoked ones: people remember them. A name that only looks the same is the same to them.
    if visible(name) in map(visible, session.scalars(select(RelyingParty.name))):
        raise PartyError(f"a relying party is named {name!r} already; choose another name")
    if not purposes or not set(purposes) <= set(PARTY_PURPOSES):
        raise PartyError(f"a relying party's purposes are {' and '.join(PARTY_PURPOSES)}")
    purpose_rows = [PartyPurpose(purpose=purpose) for purpose in set(purposes)]
    party = RelyingParty(id=uuid4(), name=name, **texts, purpose_rows=purpose_rows, added_on=now.date())
    party.revoked_on = party.callback = party.callback_id = None
    session.add(party)
    session.flush()
    append_open_entry(session, LoggedAct.RELYING_PARTY_ADDED, relying_party_id=str(party.id), at=now.isoformat())
    return party, keys.add(session, party.id, now=now)


def _check_texts(texts: dict[str, str | None]) -> None:
    """Refuse texts that are blank, too long, or that people could not read as written. None values are ignored."""
    for field, text in texts.items():
        label = field.replace("_", " ")
        longest: int = RelyingParty.__table__.c[field].type.length
        if text is not None and len(text) > longest:
            raise PartyError(f"the {label} has {len(text)} characters; shorten it to {longest}")
        if text is not None and is_blank(text):
            raise PartyError(f"the {label} is blank; a relying party has a name, a contact and an alternative")
        if text is not None and not readable(text):
            raise PartyError(f"the {label} cannot be shown to people as it is. {REASON}")


@operation("updating a relying party")
def update_party(vault: Vault, *, party_id: UUID, changes: PartyChanges, now: datetime) -> RelyingParty:
    """Change the texts of a relying party. Earlier receipts keep the earlier texts.

    Raises:
        PartyError: it does not exist or is revoked, there is no change, or a text is blank, too long or unreadable.
    """
    texts = {name: text for name, text in asdict(changes).items() if text is not None}
    if not texts:
        raise PartyError("give a change: --contact, --context, --legal-basis or --alternative")
    _check_texts(texts)
    with vault.data.write() as session:
        party = _get_active(session, party_id)
        for name, text in texts.items():
            setattr(party, name, text)
        append_open_entry(
            session,
            LoggedAct.RELYING_PARTY_DESCRIBED,
            relying_party_id=str(party_id),
            changed=" ".join(texts),
            at=now.isoformat(),
        )
        return party


@operation("rotating a relying party's key")
def rotate_key(
    vault: Vault, *, party_id: UUID, settings: Settings, overlap: timedelta = timedelta(), now: datetime
) -> tuple[RelyingParty, str]:
    """Give the relying party a new key. Its old key ends at once, or after *overlap*.

    Raises:
        PartyError: it does not exist or is revoked, or the overlap is longer than the setting allows.
    """
    longest = settings.key_overlap_hours
    if overlap > timedelta(hours=longest):
        raise PartyError(f"an old key may be used for at most {longest} hours more (MIEN_KEY_OVERLAP_HOURS)")
    until = now + overlap if overlap else None
    with vault.change() as change:
        party = _get_active(change.session, party_id)
        keys.replace(change, party_id, until=until, now=now)
        append_open_entry(
            change.session,
            LoggedAct.RELYING_PARTY_KEY_ROTATED,
            relying_party_id=str(party_id),
            at=now.isoformat(),
            old_key_until=None if until is None else until.isoformat(),
        )
        return party, keys.add(change.session, party_id, now=now)


@operation("revoking a relying party")
@ends
def revoke(vault: Vault, *, party_id: UUID, now: datetime) -> RelyingParty:
    """End the relying party's keys for good. Subjects can give it no new consent.

    Raises:
        PartyError: it does not exist, or is already revoked.
    """
    with vault.change() as change:
        party = _get_active(change.session, party_id)
        keys.end_all(change, party_id, now=now)
        party.revoked_on = now.date()
        change.end(EndedKind.RELYING_PARTY, party_id, ended_as="revoked", on=now.date())
        append_open_entry(
            change.session, LoggedAct.RELYING_PARTY_REVOKED, relying_party_id=str(party_id), at=now.isoformat()
        )
        return party


def _get_active(session: Session, party_id: UUID) -> RelyingParty:
    party = queries.get(session, party_id)
    if party is None or party.revoked_on is not None:
        raise PartyError(f"there is no relying party {party_id}, or it is revoked")
    return party
