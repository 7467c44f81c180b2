"""What had its time and goes: finished erasures, and how often somebody asked for access on a day."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select

from app.kit.crash_points import operation
from app.rights.tables import AccessCount, Erasure, ErasureStep
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.vault import Vault

PAGE = 500
"""Rows that go in one transaction."""


@operation("forgetting erasures")
def forget_erasures(vault: Vault, *, keeping: timedelta, now: datetime) -> int:
    """Delete finished erasures, with their receipts, whose time is over. Returns how many.

    One whose rows may still be in unused space stays: it is what remembers that the store is to be written anew.
    """
    over = (
        Erasure.step == ErasureStep.COMPLETED,
        Erasure.rebuilt.is_(True),
        Erasure.completed_on < now.date() - keeping,
    )
    return _forget(vault, Erasure, over, told="erasures_forgotten", today=now.date())


@operation("forgetting access counts")
def forget_access_counts(vault: Vault, *, days: int, now: datetime) -> int:
    """Delete what was counted on days whose time is over. Returns how many."""
    over = (AccessCount.on_day < now.date() - timedelta(days=days),)
    return _forget(vault, AccessCount, over, told="access_counts_deleted", today=now.date())


def _forget(vault: Vault, table: type[Any], over: Sequence[ColumnElement[bool]], *, told: str, today: date) -> int:
    forgotten = 0
    page = select(table.id).where(*over).limit(PAGE)
    while True:
        with vault.data.read() as session:
            ids = session.scalars(page).all()
        if not ids:
            return forgotten
        with vault.data.write() as session:
            gone = session.scalars(delete(table).where(table.id.in_(ids), *over).returning(table.id)).all()
            if gone:
                append_open_entry(session, LoggedAct.RETENTION_RUN, **{told: len(gone)}, on=today.isoformat())
        forgotten += len(gone)
