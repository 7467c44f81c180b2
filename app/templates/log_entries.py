"""Entries of the transparency log about a subject's enrolments and templates."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from app.subjects import service as subjects
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.vault import Vault


def record_entry(session: Session, vault: Vault, act: LoggedAct, *, subject_id: UUID, **record: entries.Value) -> UUID:
    """Write an entry under the subject's key, and return its id.

    An entry about a new template comes before the template: the database refuses a template without one.

    Raises:
        UnauthenticatedError: the subject was erased.
    """
    entry_id, key = uuid4(), subjects.key(vault, subject_id)
    entries.append(session, key, subject_id=subject_id, entry_id=entry_id, act=act, **record)
    return entry_id


def record_deletion(session: Session, vault: Vault, *, subject_id: UUID, enrolment_id: UUID, now: datetime) -> None:
    """Write the entry about a deleted enrolment."""
    record = {"enrolment_id": str(enrolment_id), "at": now.isoformat()}
    record_entry(session, vault, LoggedAct.ENROLMENT_DELETED, subject_id=subject_id, **record)
