"""HTTP routes of the subject's account that concern consents: its summary, and the messages to relying parties.

The rest of the account is in `subjects/routes.py`.
"""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict

from app.callbacks.deliveries import DELIVERIES, DeliveryRecord
from app.callbacks.policy import CallbackEvent, DeliveryState
from app.consent import examples, renewal
from app.consent.dependencies import NoticeFacts
from app.faces.permit import Purpose
from app.parties import queries as parties
from app.subjects import service as subjects
from app.subjects.routes import AccountOut, Me
from app.vault.sealed_list import SealedEntry
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppSettings, AppVault, Now, Read
from app.web.openapi import ResponseBody, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)
delivery_router = APIRouter(prefix="/v1/me/deliveries", tags=["consent"], route_class=PersonRoute)


class DueOut(ResponseBody):
    """A consent that ends soon unless you renew it."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.DUE))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The notice that you agreed to; read it again before you renew."""
    valid_until: datetime
    renewable: bool
    """Whether that notice is still in force and true. If not, decide on its next version."""


class MeOut(AccountOut):
    """A summary of the account."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ME))

    renewals_due: list[DueOut]
    """Consents that end soon, the first to end first."""


class DeliveryOut(ResponseBody):
    """A message about one of your consents to a relying party, and the state of its delivery."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.DELIVERY))

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


@router.get("", dependencies=PRIVATE)
def get_account(
    me: Me, session: Read, vault: AppVault, *, settings: AppSettings, facts: NoticeFacts, now: Now
) -> MeOut:
    """Read the summary of your account. All data held about you is at `/v1/me/access`."""
    subject = subjects.get(session, me.id)
    due = renewal.list_due(session, facts, subject_id=me.id, days=settings.renewal_days, now=now)
    return MeOut.of(
        subject,
        subject_id=me.id,
        display_name=subjects.read_display_name(vault, subject),
        renewals_due=[DueOut.of(grant, renewable=renewable) for grant, renewable in due],
    )


@delivery_router.get("", dependencies=PRIVATE)
def list_deliveries(
    me: Me, session: Read, vault: AppVault, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[DeliveryOut]:
    """List the messages sent about your consents. Newest first: a consent was given to a relying party, or has ended.

    Only relying parties that have registered a callback get messages; for others the list is empty.
    """
    key = subjects.key(vault, me.id)
    found = list(DELIVERIES.list_newest_first(session, key, subject_id=me.id, limit=limit + 1, before=after))
    names = parties.list_names(session, {entry.record.relying_party_id for entry in found})

    def shown(entry: SealedEntry[DeliveryRecord]) -> DeliveryOut:
        name = names[entry.record.relying_party_id]
        return DeliveryOut.of(entry.record, delivery_id=entry.id, relying_party=name, state=entry.record.outcome)

    return Page.cut(found, limit, out=shown)
