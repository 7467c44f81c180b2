"""Erasures: what outlives the person is that it was done."""

from datetime import date
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Date, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.datamap import IMPERSONAL, PERSONAL
from app.kit.db import Row, spelled


class ErasureStatus(StrEnum):
    """How far an erasure is. `completed` is written only when every store has confirmed (law 6)."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class Erasure(Row):
    """One erasure, under a random id of its own that only the person was given."""

    __tablename__ = "erasures"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), unique=True, info=PERSONAL
    )
    """Whom it is about, until they are deleted: the database itself forgets it with them."""
    status: Mapped[ErasureStatus] = mapped_column(spelled(ErasureStatus, length=16), info=IMPERSONAL)
    rebuilt: Mapped[bool] = mapped_column(default=False, info=IMPERSONAL)
    """Whether the data store was written anew since: until then random ids may be left in its unused space."""
    requested_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    completed_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)


class AccessCount(Row):
    """How often a person asked for access on one day."""

    __tablename__ = "access_counts"
    __table_args__ = (UniqueConstraint("subject_id", "on_day"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    on_day: Mapped[date] = mapped_column(Date, info=PERSONAL)
    times: Mapped[int] = mapped_column(info=PERSONAL)
