"""Tables of waiting messages, and of the deliveries that the subject sees."""

from datetime import date
from uuid import UUID

from sqlalchemy import Date, ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.callbacks.policy import CallbackEvent
from app.db.data_map import IMPERSONAL, PERSONAL
from app.db.types import STORED_BY_KEY, Row, SealedListRow, value_enum
from app.faces.permit import Purpose
from app.parties.tables import PURPOSE
from app.vault.authentic_rows import AuthenticRow


class Message(AuthenticRow, Row):
    """A waiting message to a relying party; deleted once it is settled.

    It outlives its subject, because the end of a consent is announced after an erasure too. At most one exists for each
    reference and purpose. Rows are stored by their random ids, so they have no order of time.
    """

    __tablename__ = "outbox"
    signed_since = "0012"
    # A deleted subject sets its id to NULL; so does a deleted erasure.
    unbound = frozenset({"subject_id", "erasure_id", "attempts"})
    __table_args__ = (UniqueConstraint("relying_party_id", "subject_ref", "purpose"), STORED_BY_KEY)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    """The message's `jti`, the same at each try, so that the recipient recognises a repetition."""
    subject_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("subjects.id", ondelete="SET NULL"), index=True, info=PERSONAL
    )
    """The subject of the consent; the database sets it to NULL when the subject is erased."""
    erasure_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("erasures.id", ondelete="SET NULL"), index=True, info=IMPERSONAL
    )
    """The erasure that lists this message under `kept` until it is settled."""
    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), info=PERSONAL)
    event: Mapped[CallbackEvent] = mapped_column(value_enum(CallbackEvent, length=16), info=PERSONAL)
    subject_ref: Mapped[str] = mapped_column(String(64), info=PERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, info=PERSONAL)
    made_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    attempts: Mapped[int] = mapped_column(info=IMPERSONAL)
    """Number of tries. The time of the next one is kept in memory: no time finer than the day is stored."""


class Delivery(SealedListRow):
    """One delivery as its subject sees it, sealed under the subject's key. Its id is the id of the message."""

    __tablename__ = "deliveries"
