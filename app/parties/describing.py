"""What the operator says of relying parties besides who they are, and what the operator sees of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.parties.service import PartyError, PublicParty, check_texts, get_active, public_view
from app.parties.tables import PartyKey, RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyChanges:
    """What is to be said from now on; None leaves it as it is."""

    contact: str | None = None
    context: str | None = None
    legal_basis: str | None = None
    alternative: str | None = None

    def said(self) -> dict[str, str]:
        """Return what is said, by the column that holds it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class PartyKeyDates:
    """A key of a relying party, which cannot be read."""

    created_on: date
    ends_at: datetime | None
    """When it ends beside its successor."""


@dataclass(frozen=True, slots=True)
class PartyForOperator:
    """A relying party as the operator sees it."""

    party: PublicParty
    added_on: date
    revoked_on: date | None
    keys: Sequence[PartyKeyDates]


@operation("describing a relying party")
def update_party(vault: Vault, *, party_id: UUID, described: PartyChanges, now: datetime) -> PublicParty:
    """Say something else of a relying party. Receipts that were given keep what was said then.

    Raises:
        PartyError: there is no such party, it is revoked, or nothing is said, or what cannot be shown.
    """
    said = described.said()
    if not said:
        msg = "say what is to change: --contact, --context, --legal-basis or --alternative"
        raise PartyError(msg)
    check_texts(**{name.replace("_", " "): value for name, value in said.items()})
    with vault.data.write() as session:
        party = get_active(session, party_id)
        for name, value in said.items():
            setattr(party, name, value)
        append_open_entry(
            session,
            LoggedAct.RELYING_PARTY_DESCRIBED,
            relying_party_id=str(party_id),
            changed=" ".join(said),
            at=now.isoformat(),
        )
        return public_view(session, party)


def list_all(session: Session) -> list[PartyForOperator]:
    """Return every relying party, revoked ones too, by name."""
    return [_standing(session, party) for party in session.scalars(select(RelyingParty).order_by(RelyingParty.name))]


def _standing(session: Session, party: RelyingParty) -> PartyForOperator:
    keys = select(PartyKey).where(PartyKey.relying_party_id == party.id).order_by(PartyKey.created_on, PartyKey.id)
    return PartyForOperator(
        party=public_view(session, party),
        added_on=party.added_on,
        revoked_on=party.revoked_on,
        keys=[PartyKeyDates(key.created_on, key.ends_at) for key in session.scalars(keys)],
    )
