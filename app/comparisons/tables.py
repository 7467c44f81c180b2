"""Comparisons, the person's and never the relying party's; what failed of them; and what a person says was not them."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL, SEALED_RECORD
from app.db.types import Row


class Comparison(Row):
    """One use of a person's template, sealed under their key. Says when, who and what only when opened."""

    __tablename__ = "comparisons"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first comparison, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class Attempts(Row):
    """A person's failed comparisons of the last 24 hours, sealed under their key: one row, and none after that."""

    __tablename__ = "attempts"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), unique=True, info=PERSONAL)
    last_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    """The day of the last failure: two days later nothing in it counts, and it is deleted unopened."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class FailedReferences(Row):
    """What a relying party failed with lately, sealed under a key of the service; see `sweeps`.

    References are salted digests, comparisons random ids that point at nothing once their person is erased. Both are
    gone after the window.
    """

    __tablename__ = "failed_references"

    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), primary_key=True, info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)


class Dispute(Row):
    """A comparison of which its person says that it was not them, sealed under their key; gone when they lift it."""

    __tablename__ = "disputes"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """That of the comparison, whose line may be deleted before."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True, info=PERSONAL)
    disputed_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
