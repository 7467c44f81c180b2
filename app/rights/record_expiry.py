"""Deletes completed erasures and access counts after their retention time."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select

from app.kit.crash_points import operation
from app.rights.tables import AccessCount, Erasure, ErasureStep
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault

PAGE = 500
"""Rows deleted in one transaction."""


@operation("deleting old erasure records")
def delete_old_erasures(vault: Vault, *, retention: timedelta, now: datetime) -> int:
    """Delete completed erasures, with their receipts, after their retention time. Returns the number deleted.

    An erasure whose rows may still be in unused space stays, because it records that a rebuild is due.
    """
    old = (
        Erasure.step == ErasureStep.COMPLETED,
        Erasure.rebuilt.is_(True),
        Erasure.completed_on < now.date() - retention,
    )
    return _delete(vault, Erasure, old, logged_as="erasures_forgotten", today=now.date())


@operation("deleting old access counts")
def delete_old_access_counts(vault: Vault, *, days: int, now: datetime) -> int:
    """Delete access counts after their retention time. Returns the number deleted."""
    old = (AccessCount.on_day < now.date() - timedelta(days=days),)
    return _delete(vault, AccessCount, old, logged_as="access_counts_deleted", today=now.date())


def _delete(vault: Vault, table: type[Any], old: Sequence[ColumnElement[bool]], *, logged_as: str, today: date) -> int:
    """Delete the old rows page by page, each page with its entry in the transparency log."""
    total = 0
    page = select(table.id).where(*old).limit(PAGE)
    while True:
        with vault.data.read() as session:
            ids = session.scalars(page).all()
        if not ids:
            return total
        with vault.data.write() as session:
            deleted = session.scalars(delete(table).where(table.id.in_(ids), *old).returning(table.id)).all()
            if deleted:
                append_open_entry(session, LoggedAct.RETENTION_RUN, **{logged_as: len(deleted)}, on=today.isoformat())
        total += len(deleted)
