"""Comparisons: the person's, never the relying party's."""

from uuid import UUID

from sqlalchemy import ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.kit.datamap import PERSONAL, SEALED_RECORD
from app.kit.db import Row


class Comparison(Row):
    """One use of a person's template, sealed under their key. Says when, who and what only when opened."""

    __tablename__ = "comparisons"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first comparison, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
