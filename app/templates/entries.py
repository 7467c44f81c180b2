"""Entries of the transparency log about enrolments."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.subjects import service as subjects
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.vault import Vault


def record_entry(
    session: Session, vault: Vault, *, subject_id: UUID, entry_id: UUID, act: LoggedAct, **record: entries.Value
) -> None:
    """Write the entry first: without it the database takes no template."""
    key = subjects.key(vault, subject_id)
    entries.append(session, key, subject_id=subject_id, entry_id=entry_id, act=act, **record)


def record_deletion(session: Session, vault: Vault, *, subject_id: UUID, enrolment_id: UUID, now: datetime) -> None:
    """Write the entry that an enrolment was deleted."""
    told = {"enrolment_id": str(enrolment_id), "at": now.isoformat()}
    record_entry(session, vault, subject_id=subject_id, entry_id=uuid4(), act=LoggedAct.ENROLMENT_DELETED, **told)
