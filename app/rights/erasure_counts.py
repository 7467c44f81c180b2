"""What there is of a person in each store, counted, for the receipt of their erasure: before, and after."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.consent import service as consent
from app.rights import personal_data
from app.rights.tables import Erasure
from app.transparency.verify import receipt as receipts
from app.vault.register import Owner, Register


@dataclass(frozen=True, slots=True)
class Held:
    """What was there when the rows of a person were deleted; no id of theirs is in it."""

    rows_before: int
    rows_after: int
    keys_before: int
    owners: Sequence[str]
    """What the register knew their keys by, in hex."""
    keys_destroyed_at: datetime | None

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read what `written` wrote; of an erasure that an older version began, nothing is known."""
        fields: dict[str, Any] = {
            "rows_before": 0,
            "rows_after": 0,
            "keys_before": 0,
            "owners": [],
            "keys_destroyed_at": None,
        }
        fields |= json.loads(text or "{}")
        at = fields["keys_destroyed_at"]
        return cls(**fields | {"keys_destroyed_at": None if at is None else datetime.fromisoformat(at)})

    def written(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), default=datetime.isoformat)

    @property
    def digests(self) -> list[bytes]:
        """Return what the register is asked by."""
        return [bytes.fromhex(one) for one in self.owners]

    def stores(self) -> list[receipts.StoreCount]:
        """Return the two stores, counted before and after. No key is left: it was asked for."""
        return [
            receipts.StoreCount(store="mien.db", unit="rows", before=self.rows_before, after=self.rows_after),
            receipts.StoreCount(store="register.db", unit="keys", before=self.keys_before, after=0),
        ]


def held(session: Session, register: Register, subject_id: UUID) -> Held:
    """Count all that there is of a person who is about to be deleted."""
    grants = map(Owner.grant, consent.grant_ids(session, subject_id))
    owners = [owner.digest for owner in (Owner.subject(subject_id), *grants)]
    return Held(
        rows_before=rows(session, subject_id),
        rows_after=0,
        keys_before=register.keys_left(owners),
        owners=[owner.hex() for owner in owners],
        keys_destroyed_at=None,
    )


def rows(session: Session, subject_id: UUID) -> int:
    """Count every row of a person, in every table that the data map has something about people in.

    But for the erasure itself: it is not there before they ask for it, and it stays, without them.
    """
    return sum(
        session.execute(
            select(func.count()).select_from(table).where(personal_data.owner_of(table) == subject_id)
        ).scalar_one()
        for table in personal_data.tables()
        if table is not Erasure.__table__
    )
