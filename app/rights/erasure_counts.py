"""Counts of a subject's rows and keys before and after their erasure, for the receipt."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.consent import service as consent
from app.rights import personal_data
from app.rights.tables import Erasure
from app.transparency.verify.receipt import StoreCount
from app.vault.register import Owner, Register


class ErasureCounts(BaseModel):
    """Counts of one erasure, as the `erasures` row stores them; it has no id of the subject."""

    rows_before: int = 0
    rows_after: int = 0
    keys_before: int = 0
    owners: Sequence[str] = ()
    """Digests of the keys' owners in the register, in hex."""
    keys_destroyed_at: datetime | None = None

    def stores(self) -> list[StoreCount]:
        """Return the counts of both stores; the caller has checked that no key is left."""
        return [
            StoreCount(store="mien.db", unit="rows", before=self.rows_before, after=self.rows_after),
            StoreCount(store="register.db", unit="keys", before=self.keys_before, after=0),
        ]


def count_personal_data(session: Session, register: Register, subject_id: UUID) -> ErasureCounts:
    """Count the rows and keys of a subject before their erasure."""
    grants = map(Owner.grant, consent.grant_ids(session, subject_id))
    owners = [owner.digest for owner in (Owner.subject(subject_id), *grants)]
    return ErasureCounts(
        rows_before=count_rows(session, subject_id),
        keys_before=register.keys_left(owners),
        owners=[owner.hex() for owner in owners],
    )


def count_rows(session: Session, subject_id: UUID) -> int:
    """Count a subject's rows in every table with personal data, except the erasure itself, which stays."""
    return sum(
        session.execute(
            select(func.count()).select_from(table).where(personal_data.owner_of(table) == subject_id)
        ).scalar_one()
        for table in personal_data.tables()
        if table is not Erasure.__table__
    )
