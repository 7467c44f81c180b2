"""Erasures, which stay after the subject is gone, and counts of access."""

from datetime import date
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Date, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL
from app.db.types import Row, value_enum


class ErasureStatus(StrEnum):
    """State of an erasure, as the subject sees it."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class ErasureStep(StrEnum):
    """The last step of an erasure that was done; after a crash the erasure resumes from it."""

    INTENT = "intent"
    """Requested: the subject is out of matching."""
    DELETED = "deleted"
    """Their rows are deleted and their keys destroyed."""
    COMPLETED = "completed"
    """Each store confirmed that nothing is left, also not in its write-ahead log (law 6)."""


class Erasure(Row):
    """One erasure, under a random id that only the person was given."""

    __tablename__ = "erasures"
    __table_args__ = (Index("erasures_by_completion", "completed_on"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), unique=True, info=PERSONAL
    )
    """The subject until their row is deleted; then the database sets it to NULL."""
    step: Mapped[ErasureStep] = mapped_column(value_enum(ErasureStep, length=16), info=IMPERSONAL)
    held: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)
    """Counts of each store and digests of the keys' owners, as JSON (`ErasureCounts`); NULL once completed."""
    rebuilt: Mapped[bool] = mapped_column(default=False, info=IMPERSONAL)
    """Whether the data store was rebuilt since; until then random ids may be left in its unused space."""
    requested_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    completed_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    receipt: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)
    """The signed receipt once completed; it does not name the subject. NULL for erasures from before receipts."""

    @property
    def status(self) -> ErasureStatus:
        """Return the state that the subject sees."""
        done = self.step is ErasureStep.COMPLETED
        return ErasureStatus.COMPLETED if done else ErasureStatus.IN_PROGRESS


class AccessCount(Row):
    """Number of times that a person asked for access on one day."""

    __tablename__ = "access_counts"
    __table_args__ = (UniqueConstraint("subject_id", "on_day"), Index("access_counts_by_day", "on_day"))

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    on_day: Mapped[date] = mapped_column(Date, info=PERSONAL)
    times: Mapped[int] = mapped_column(info=PERSONAL)
