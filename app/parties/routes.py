"""HTTP routes of relying parties: the public list, and a relying party's own entry."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import ConfigDict

from app.faces.permit import Purpose
from app.parties import examples, queries
from app.web.auth import OpenRoute, PartyRoute, principal
from app.web.callers import Principal, UnauthenticatedError
from app.web.dependencies import PRIVATE, Read
from app.web.openapi import ResponseBody, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, RowId

Party = Annotated[Principal, Depends(principal)]
"""The relying party that makes the request."""

open_router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/relying-party", tags=["relying party"], route_class=PartyRoute)


class PartyOut(ResponseBody):
    """A relying party: a possible recipient of decisions about you."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PARTY))

    relying_party_id: UUID
    name: str
    contact: str
    purposes: list[Purpose]
    alternative: str
    """The way in without a face that it offers."""
    context: str | None
    """Where and for what it compares faces."""
    legal_basis: str | None
    """Its legal basis for comparing faces, in its own words."""


@open_router.get("/relying-parties")
def list_relying_parties(session: Read, limit: Limit = DEFAULT_LIMIT, after: RowId = None) -> Page[PartyOut]:
    """List the relying parties. Each with its purposes, its contact, and the way in without a face."""
    parties = queries.list_active(session, limit=limit + 1, after=after)
    return Page.cut(parties, limit, key=lambda party: party.relying_party_id, out=PartyOut.of)


@router.get("", dependencies=PRIVATE)
def get_relying_party(party: Party, session: Read) -> PartyOut:
    """Read your own entry. It is the same as in the public list."""
    found = queries.get(session, party.id)
    if found is None:
        raise UnauthenticatedError
    return PartyOut.of(found)
