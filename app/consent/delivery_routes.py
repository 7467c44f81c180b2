"""HTTP route to the subject's deliveries: the messages about the subject's consents to relying parties."""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.callbacks import deliveries
from app.callbacks.policy import CallbackEvent, DeliveryState
from app.consent import examples
from app.faces.permit import Purpose
from app.parties import queries as parties
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, Read, Transactions
from app.web.openapi import with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

router = APIRouter(prefix="/v1/me/deliveries", tags=["consent"], route_class=PersonRoute)


class DeliveryOut(BaseModel):
    """A message about one of your consents to a relying party, and the state of its delivery."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DELIVERY))

    delivery_id: UUID
    relying_party_id: UUID
    relying_party: str
    event: CallbackEvent
    """The message has only this, the relying party's own reference to you, and the purpose; never a reason."""
    purpose: Purpose
    state: DeliveryState
    """`pending`: it will be sent again. `failed`: no answer for days. `overtaken`: a later message replaced it."""
    made_at: datetime
    tries: int
    last_tried_at: datetime | None
    settled_at: datetime | None


@router.get("", name="deliveries", dependencies=PRIVATE)
def list_deliveries(
    me: Me, session: Read, vault: Transactions, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[DeliveryOut]:
    """List the messages sent about your consents. Newest first: a consent was given to a relying party, or has ended.

    Only relying parties that have registered a callback get messages; for others the list is empty.
    """
    key = subjects.key(vault, me.id)
    found = deliveries.list_deliveries(session, key, subject_id=me.id, limit=limit + 1, before=after)
    names = parties.list_names(session, {entry.record.relying_party_id for entry in found})
    return Page.cut(found, limit, key=lambda entry: entry.position, out=lambda entry: _shown(entry, names))


def _shown(entry: deliveries.DeliveryEntry, names: dict[UUID, str]) -> DeliveryOut:
    record = entry.record
    return DeliveryOut(
        delivery_id=entry.id,
        relying_party_id=record.relying_party_id,
        relying_party=names[record.relying_party_id],
        event=record.event,
        purpose=record.purpose,
        state=record.outcome,
        made_at=record.made_at,
        tries=record.tries,
        last_tried_at=record.last_tried_at,
        settled_at=record.settled_at,
    )
