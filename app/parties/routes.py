"""Relying parties over HTTP: as everybody sees them, and as one sees itself."""

from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict

from app.faces.permit import Purpose
from app.parties import examples, service
from app.web.auth import OpenRoute, PartyRoute, Principal, UnauthenticatedError, principal
from app.web.dependencies import PRIVATE, Read
from app.web.openapi import with_examples
from app.web.pagination import DEFAULT_LIMIT, Cursor, Limit, Page

Party = Annotated[Principal, Depends(principal)]
"""The relying party that is asking."""

open_router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/relying-party", tags=["relying party"], route_class=PartyRoute)


class PartyOut(BaseModel):
    """A relying party: a possible recipient of decisions."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.PARTY))

    relying_party_id: UUID
    name: str
    contact: str
    purposes: list[Purpose]
    alternative: str
    """The way in without a face that it offers."""
    context: str | None
    """Where and for what it asks."""
    legal_basis: str | None
    """On what ground it asks, in its own words."""

    @classmethod
    def of(cls, party: service.PublicParty) -> Self:
        """Show *party*."""
        return cls(
            relying_party_id=party.id,
            name=party.name,
            contact=party.contact,
            purposes=party.purposes,
            alternative=party.alternative,
            context=party.context,
            legal_basis=party.legal_basis,
        )


@open_router.get("/relying-parties")
def relying_parties(session: Read, limit: Limit = DEFAULT_LIMIT, after: Cursor = None) -> Page[PartyOut]:
    """List who may ask. Every relying party: its purposes, its contact, and the way in without a face."""
    parties = service.list_active(session, limit=limit + 1, after=after)
    return Page.cut(parties, limit, key=lambda party: party.id, out=PartyOut.of)


@router.get("", name="relying_party", dependencies=PRIVATE)
def itself(party: Party, session: Read) -> PartyOut:
    """Read what is known of you. As everybody can read it."""
    found = service.get(session, party.id)
    if found is None:
        raise UnauthenticatedError
    return PartyOut.of(found)
