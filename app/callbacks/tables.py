"""Callbacks that are still to be sent, and the deliveries that the subject sees."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.callbacks.policy import CallbackEvent
from app.db.data_map import IMPERSONAL, PERSONAL, SEALED_RECORD
from app.db.types import Row, spelled
from app.faces.permit import Purpose
from app.parties.tables import PURPOSE


class Message(Row):
    """What a relying party is still to be told; gone once it is settled.

    It outlives its person: that a consent has ended is told also, and above all, when they are gone. There is one for
    each reference and purpose at most: what is true now is told, never what was. Its rows lie by their random ids: none
    of time.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("relying_party_id", "subject_ref", "purpose"),
        {"sqlite_with_rowid": False},
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """The same at each try, so that the recipient knows it again (`jti`)."""
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), index=True, info=PERSONAL
    )
    """Whom it is about, until they are erased: the database itself forgets it with them."""
    erasure_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("erasures.id", ondelete="SET NULL"), index=True, info=IMPERSONAL
    )
    """The erasure that names it under `kept`, until it is settled."""
    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), info=PERSONAL)
    event: Mapped[CallbackEvent] = mapped_column(spelled(CallbackEvent, length=16), info=PERSONAL)
    subject_ref: Mapped[str] = mapped_column(String(64), info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    made_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    attempts: Mapped[int] = mapped_column(info=IMPERSONAL)
    """How often it was sent. When it is sent again is kept in memory only: no time finer than the day is here."""


class Delivery(Row):
    """One event that a relying party was to be told of, as its person sees it; sealed under their key."""

    __tablename__ = "deliveries"
    __table_args__ = (UniqueConstraint("subject_id", "position"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """That of the message."""
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), info=PERSONAL)
    position: Mapped[int] = mapped_column(info=PERSONAL)
    """1 for the person's first, and so on."""
    sealed: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_RECORD)
