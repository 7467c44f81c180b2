"""Repair relying parties after a restore: revoke and delete again the ones that had ended before it."""

from datetime import datetime

import structlog
from sqlalchemy import select

from app.parties import keys
from app.parties.tables import RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault import dead_rows
from app.vault.tables import EndedKind
from app.vault.vault import Vault

log = structlog.get_logger()


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Delete ended keys and callbacks, and revoke revoked parties again, as the register records. Returns how many."""
    return keys.purge_dead(vault, now=now) + _revoke_again(vault, now) + _delete_ended_callbacks(vault)


def _revoke_again(vault: Vault, now: datetime) -> int:
    total, active = 0, [RelyingParty.revoked_on.is_(None)]
    for revoked in dead_rows.ended_pages(vault, EndedKind.RELYING_PARTY, RelyingParty.id, where=active):
        with vault.data.write() as session:
            for party in session.scalars(select(RelyingParty).where(RelyingParty.id.in_(revoked))):
                party.revoked_on = revoked[party.id].ended_on
                # A failed commit, or the restore, discarded the first entry.
                party_id, at = str(party.id), now.isoformat()
                append_open_entry(session, LoggedAct.RELYING_PARTY_REVOKED, relying_party_id=party_id, at=at)
        total += len(revoked)
    return total


def _delete_ended_callbacks(vault: Vault) -> int:
    total, callback_id = 0, RelyingParty.callback_id
    for ended in dead_rows.ended_pages(vault, EndedKind.CALLBACK, callback_id, where=[callback_id.is_not(None)]):
        with vault.data.write() as session:
            for party in session.scalars(select(RelyingParty).where(callback_id.in_(ended))):
                party.callback = party.callback_id = None
        log.warning("ended callbacks were deleted after a restore; set the current ones again", count=len(ended))
        total += len(ended)
    return total
