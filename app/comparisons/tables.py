"""Comparisons with their subject's templates, failed ones, and disputes."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import IMPERSONAL, PERSONAL, SEALED_RECORD
from app.db.types import Row, SealedListRow


class Comparison(SealedListRow):
    """One comparison with a subject's template; time, relying party and decision are sealed under the subject's key."""

    __tablename__ = "comparisons"


class Attempts(Row):
    """The failed comparisons of one subject in the last 24 hours, sealed under the subject's key."""

    __tablename__ = "attempts"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), unique=True, info=PERSONAL)
    last_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    """The day of the last failure; two days later the row is deleted unopened."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)


class FailedReferences(Row):
    """The references with which a relying party failed recently, sealed under a key of the service.

    References are salted digests. Comparison ids are random, and refer to no row once their subject is erased. Both are
    deleted after the window (`enumeration_guard`).
    """

    __tablename__ = "failed_references"

    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), primary_key=True, info=IMPERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=IMPERSONAL)


class Dispute(Row):
    """A comparison that its subject disputes, sealed under the subject's key; deleted when the dispute is lifted."""

    __tablename__ = "disputes"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """The id of the comparison, which may be deleted earlier."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True, info=PERSONAL)
    disputed_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
