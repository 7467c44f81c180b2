"""Erasures: what outlives the person is that it was done."""

from datetime import date
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Date, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL
from app.db.types import Row, spelled


class ErasureStatus(StrEnum):
    """What a person is told of an erasure."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"


class ErasureStep(StrEnum):
    """How far an erasure is. Each step is written when it has been done, and is where a crash finds it again."""

    INTENT = "intent"
    """Asked for: the person is out of matching."""
    DELETED = "deleted"
    """Their rows are deleted and their keys destroyed."""
    COMPLETED = "completed"
    """Each store confirmed that nothing is left, not in its log either (law 6)."""


class Erasure(Row):
    """One erasure, under a random id of its own that only the person was given."""

    __tablename__ = "erasures"
    __table_args__ = (Index("erasures_by_completion", "completed_on"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), unique=True, info=PERSONAL
    )
    """Whom it is about, until they are deleted: the database itself forgets it with them."""
    step: Mapped[ErasureStep] = mapped_column(spelled(ErasureStep, length=16), info=IMPERSONAL)
    held: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)
    """From deletion to completion, as JSON (`counting.Held`): how much there was in each store, and what the register
    knew the keys by, to ask it whether they are gone."""
    rebuilt: Mapped[bool] = mapped_column(default=False, info=IMPERSONAL)
    """Whether the data store was written anew since: until then random ids may be left in its unused space."""
    requested_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    completed_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    receipt: Mapped[str | None] = mapped_column(Text, info=IMPERSONAL)
    """Once it is completed, the signed receipt, which names nobody; none if that was before there were any."""

    @property
    def status(self) -> ErasureStatus:
        """Return what the person is told."""
        done = self.step is ErasureStep.COMPLETED
        return ErasureStatus.COMPLETED if done else ErasureStatus.IN_PROGRESS


class AccessCount(Row):
    """How often a person asked for access on one day."""

    __tablename__ = "access_counts"
    __table_args__ = (UniqueConstraint("subject_id", "on_day"), Index("access_counts_by_day", "on_day"))

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    on_day: Mapped[date] = mapped_column(Date, info=PERSONAL)
    times: Mapped[int] = mapped_column(info=PERSONAL)
