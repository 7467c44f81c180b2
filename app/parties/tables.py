"""Tables of relying parties, their purposes and keys."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import Date, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.data_map import CREDENTIAL, IMPERSONAL
from app.db.types import Row, value_enum
from app.faces.permit import Purpose
from app.vault.authentic_rows import AuthenticRow

PURPOSE = value_enum(Purpose)
"""Column type of a purpose, stored by its value."""


class RelyingParty(AuthenticRow, Row):
    """A relying party, added by the operator and never over HTTP."""

    __tablename__ = "relying_parties"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    name: Mapped[str] = mapped_column(String(200), unique=True, info=IMPERSONAL)
    contact: Mapped[str] = mapped_column(String(500), info=IMPERSONAL)
    alternative: Mapped[str] = mapped_column(String(2000), info=IMPERSONAL)
    """The way in without a face, at no extra cost or delay."""
    context: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """Where and for what it compares faces, for example at which door."""
    legal_basis: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """Its legal basis, in its own words."""
    added_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    revoked_on: Mapped[date | None] = mapped_column(Date, info=IMPERSONAL)
    callback: Mapped[str | None] = mapped_column(String(2000), info=IMPERSONAL)
    """URL of its callback; None if it gets no messages."""
    callback_id: Mapped[UUID | None] = mapped_column(info=IMPERSONAL)
    """Random id of this callback. The register records its end, so that a restore does not bring it back."""
    purpose_rows: Mapped[list["PartyPurpose"]] = relationship()
    keys: Mapped[list["PartyKey"]] = relationship(viewonly=True, order_by="PartyKey.created_on, PartyKey.id")

    @property
    def relying_party_id(self) -> UUID:
        """The id, under its public name."""
        return self.id

    @property
    def purposes(self) -> list[Purpose]:
        """The purposes for which subjects can consent to it."""
        return sorted(row.purpose for row in self.purpose_rows)


class PartyPurpose(AuthenticRow, Row):
    """A purpose for which subjects can consent to a relying party; grants refer to it."""

    __tablename__ = "party_purposes"
    signed_since = "0012"

    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), primary_key=True, info=IMPERSONAL)
    purpose: Mapped[Purpose] = mapped_column(PURPOSE, primary_key=True, info=IMPERSONAL)


class PartyKey(AuthenticRow, Row):
    """A relying party's key, stored only as its SHA-256."""

    __tablename__ = "party_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, info=IMPERSONAL)
    relying_party_id: Mapped[UUID] = mapped_column(ForeignKey("relying_parties.id"), index=True, info=IMPERSONAL)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=CREDENTIAL)
    created_on: Mapped[date] = mapped_column(Date, info=IMPERSONAL)
    ends_at: Mapped[datetime | None] = mapped_column(info=IMPERSONAL)
    """When its overlap with the replacing key ends; None while it is not replaced."""
