"""What relying parties are told of consents: that one was given, or has ended. Never why, and of nobody else."""

from datetime import datetime

from sqlalchemy.orm import Session

from app.callbacks import outbox
from app.callbacks.policy import Event
from app.consent.tables import Grant
from app.subjects import service as subjects
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault


def given(session: Session, key: Key, grant: Grant, *, now: datetime) -> None:
    """Let the relying party of a grant be told that it was given, with the commit that gives it."""
    _tell(session, key, grant, Event.GIVEN, now)


def ended(session: Session, key: Key | None, grant: Grant, *, now: datetime) -> None:
    """Let it be told that the grant has ended, with the commit that ends it.

    Args:
        key: the person's; without it they have no line of it.
    """
    _tell(session, key, grant, Event.ENDED, now)


def key_for(vault: Vault, grant: Grant) -> Key | None:
    """Return the key of the person's list, if it opens: an ending does not depend on its own record."""
    try:
        return subjects.key(vault, grant.subject_id)
    except (KekError, SealError):
        return None


def _tell(session: Session, key: Key | None, grant: Grant, event: Event, now: datetime) -> None:
    if grant.relying_party_id is None or grant.subject_ref is None:
        return
    about = outbox.About(
        subject_id=grant.subject_id,
        relying_party_id=grant.relying_party_id,
        subject_ref=grant.subject_ref,
        purpose=grant.purpose,
    )
    outbox.write(session, key, about=about, event=event, now=now)
