"""Queue messages that tell relying parties that a consent was given or has ended; never why."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.callbacks import outbox
from app.callbacks.policy import CallbackEvent
from app.consent.tables import Grant
from app.subjects import service as subjects
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault


def find_record_key(vault: Vault, grant: Grant) -> Key | None:
    """Return the key of the subject's records, or None if it does not open: the grant ends without its record."""
    try:
        return subjects.key(vault, grant.subject_id)
    except (KekError, SealError):
        return None


def notify(session: Session, key: Key | None, grant: Grant, event: CallbackEvent, *, now: datetime) -> None:
    """Queue the message about a grant, in the transaction that gives or ends it.

    Args:
        key: of the subject's records; with None the delivery is missing from the subject's list.
    """
    if grant.relying_party_id is None or grant.subject_ref is None:
        return
    outbox.add(
        session,
        key,
        subject_id=grant.subject_id,
        relying_party_id=grant.relying_party_id,
        subject_ref=grant.subject_ref,
        purpose=grant.purpose,
        event=event,
        now=now,
    )
