"""What relying parties were told of a person, over HTTP, for that person."""

from datetime import datetime
from typing import Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.callbacks import deliveries as lines
from app.callbacks.policy import DeliveryState, Event
from app.consent import examples
from app.faces.permit import Purpose
from app.parties import service as parties
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, Read, Transactions
from app.web.openapi import with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

router = APIRouter(prefix="/v1/me/deliveries", tags=["consent"], route_class=PersonRoute)


class DeliveryOut(BaseModel):
    """Something that a relying party was to be told of you, and how it stands with that."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DELIVERY))

    delivery_id: UUID
    relying_party_id: UUID
    relying_party: str
    event: Event
    """All that it is told, besides its own reference to you and the purpose. Never why."""
    purpose: Purpose
    state: DeliveryState
    """`pending`: it is tried again. `failed`: it did not answer for days. `overtaken`: a later event took its place."""
    made_at: datetime
    tries: int
    last_tried_at: datetime | None
    settled_at: datetime | None

    @classmethod
    def of(cls, entry: lines.Entry, names: dict[UUID, str]) -> Self:
        """Show *entry*."""
        line = entry.line
        return cls(
            delivery_id=entry.delivery_id,
            relying_party_id=line.relying_party_id,
            relying_party=names[line.relying_party_id],
            event=line.event,
            purpose=line.purpose,
            state=line.outcome,
            made_at=line.made_at,
            tries=line.tries,
            last_tried_at=line.last_tried_at,
            settled_at=line.settled_at,
        )


@router.get("", dependencies=PRIVATE)
def deliveries(
    me: Me, session: Read, vault: Transactions, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[DeliveryOut]:
    """Read what relying parties were told of you. Newest first: that a consent was given, or has ended.

    Only those that have asked to be told are; for others there is nothing here.
    """
    key = subjects.key(vault, me.id)
    found = lines.of(session, key, subject_id=me.id, limit=limit + 1, before=after)
    names = parties.names(session, {entry.line.relying_party_id for entry in found})
    return Page.cut(found, limit, key=lambda entry: entry.position, out=lambda entry: DeliveryOut.of(entry, names))
