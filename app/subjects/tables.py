"""People and their tokens."""

from datetime import date
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import Date, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import CREDENTIAL, PERSONAL, SEALED_TEXT
from app.db.types import Row, spelled


class TokenKind(StrEnum):
    """What a token lets a person do."""

    ACCESS = "access"
    RECOVERY = "recovery"


class Subject(Row):
    """A person, known by a random id."""

    __tablename__ = "subjects"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    registered_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    sealed_name: Mapped[bytes | None] = mapped_column(LargeBinary, info=SEALED_TEXT)
    matching_period_id: Mapped[UUID | None] = mapped_column("spell_id", default=uuid4, info=PERSONAL)
    """The spell of matching that they are in, at random; None while they have stopped all matching (GDPR Art. 18).
    Stopping ends the spell for good, so that a restored backup that still has it is stopped too."""
    erasing: Mapped[bool] = mapped_column(default=False, info=PERSONAL)
    """The person has asked for erasure: out of matching from that moment."""
    history_cuts: Mapped[int] = mapped_column(default=0, server_default="0", info=PERSONAL)
    """How often they have shortened the history of their comparisons. The register remembers each cut, so that a
    restored backup that does not know of it is shortened again."""

    @property
    def restricted(self) -> bool:
        """Say whether they have stopped all matching."""
        return self.matching_period_id is None


class Token(Row):
    """A way in, known by its SHA-256 only."""

    __tablename__ = "tokens"
    __table_args__ = (Index("tokens_by_last_use", "last_used_on"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True, info=PERSONAL)
    kind: Mapped[TokenKind] = mapped_column(spelled(TokenKind, length=16), info=PERSONAL)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=CREDENTIAL)
    created_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    last_used_on: Mapped[date | None] = mapped_column(Date, info=PERSONAL)
    """The day on which an access token was last used, or made. None of a recovery code, which has one use."""
