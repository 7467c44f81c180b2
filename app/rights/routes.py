"""Rights over HTTP."""

from datetime import date
from typing import Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app.kit.auth import OpenRoute, PersonRoute
from app.kit.http import PRIVATE, Now
from app.rights import erasure
from app.rights.tables import Erasure, ErasureStatus
from app.subjects.routes import Me
from app.vault.vault import Transactions

open_router = APIRouter(prefix="/v1/erasures", tags=["rights"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me", tags=["rights"], route_class=PersonRoute)


class KeptOut(BaseModel):
    """Something that remains, and why."""

    what: str
    holds: str
    why: str


class ErasureOut(BaseModel):
    """How far an erasure is, and what remains after it."""

    erasure_id: UUID
    status: ErasureStatus
    requested_on: date
    completed_on: date | None
    kept: list[KeptOut]

    @classmethod
    def of(cls, one: Erasure) -> Self:
        """Show *one* erasure."""
        return cls(
            erasure_id=one.id,
            status=one.status,
            requested_on=one.requested_on,
            completed_on=one.completed_on,
            kept=[KeptOut(what=kept.what, holds=kept.holds, why=kept.why) for kept in erasure.KEPT],
        )


@router.delete("", dependencies=PRIVATE, responses={202: {"model": ErasureOut}})
def erase(me: Me, response: Response, vault: Transactions, now: Now) -> ErasureOut:
    """Erase yourself. No reason, no waiting period; 202 and an address to watch if a store has not confirmed yet."""
    one = erasure.erase(vault, subject_id=me.id, now=now)
    if one.status is ErasureStatus.IN_PROGRESS:
        response.status_code = 202
        response.headers["Location"] = f"{open_router.prefix}/{one.id}"
    return ErasureOut.of(one)


@open_router.get("/{erasure_id}", dependencies=PRIVATE)
def state(erasure_id: UUID, vault: Transactions) -> ErasureOut:
    """See how far an erasure is, without an account."""
    return ErasureOut.of(erasure.get(vault, erasure_id=erasure_id))
