"""Tables of subjects and their tokens."""

from datetime import date
from enum import StrEnum
from uuid import UUID, uuid4

from sqlalchemy import Date, ForeignKey, Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from app.db.data_map import CREDENTIAL, PERSONAL, SEALED_TEXT
from app.db.types import Row, value_enum
from app.vault.authentic_rows import AuthenticRow


class TokenKind(StrEnum):
    """The use of a token."""

    ACCESS = "access"
    RECOVERY = "recovery"


class Subject(AuthenticRow, Row):
    """A person, identified by a random id."""

    __tablename__ = "subjects"
    unbound = frozenset({"sealed_name", "registered_on"})

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    registered_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    sealed_name: Mapped[bytes | None] = mapped_column(LargeBinary, info=SEALED_TEXT)
    matching_period_id: Mapped[UUID | None] = mapped_column("spell_id", default=uuid4, info=PERSONAL)
    """Random id of the current matching period; None while the subject restricts matching (GDPR Art. 18). A restriction
    ends the period for good, so that a subject restored from an older backup is restricted too."""
    erasing: Mapped[bool] = mapped_column(default=False, info=PERSONAL)
    """Whether erasure was requested; from then on the subject is out of matching."""
    history_cuts: Mapped[int] = mapped_column(default=0, server_default="0", info=PERSONAL)
    """How often the subject has shortened the history of comparisons. The register records each cut, so that an older
    backup is shortened again after a restore."""

    @property
    def restricted(self) -> bool:
        """Whether the subject has stopped all matching."""
        return self.matching_period_id is None


class Token(AuthenticRow, Row):
    """An access token or recovery code, stored only as its SHA-256."""

    __tablename__ = "tokens"
    unbound = frozenset({"last_used_on"})
    __table_args__ = (Index("tokens_by_last_use", "last_used_on"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, info=PERSONAL)
    subject_id: Mapped[UUID] = mapped_column(ForeignKey("subjects.id", ondelete="CASCADE"), index=True, info=PERSONAL)
    kind: Mapped[TokenKind] = mapped_column(value_enum(TokenKind, length=16), info=PERSONAL)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=CREDENTIAL)
    created_on: Mapped[date] = mapped_column(Date, info=PERSONAL)
    last_used_on: Mapped[date | None] = mapped_column(Date, info=PERSONAL)
    """Day on which an access token was last used or created. None for a recovery code, which works once."""
