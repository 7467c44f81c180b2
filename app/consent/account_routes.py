"""HTTP route `GET /v1/me`: the summary of a subject's account.

It is not in `subjects/`, because it lists consents to renew; the rest of the account is in `subjects/routes.py`.
"""

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.consent import examples, renewal
from app.faces.permit import Purpose
from app.subjects import service as subjects
from app.subjects.routes import AccountOut, Me
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppSettings, Now, Read, Transactions
from app.web.openapi import with_examples

router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)


class DueOut(BaseModel):
    """A consent that ends soon unless you renew it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DUE))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The notice that you agreed to; read it again before you renew."""
    valid_until: datetime
    renewable: bool
    """Whether that notice is still in force. If not, decide on the one that is."""


class MeOut(AccountOut):
    """A summary of the account."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.ME))

    renewals_due: list[DueOut]
    """Consents that end soon, the first to end first."""


@router.get("", name="me", dependencies=PRIVATE)
def account_summary(me: Me, session: Read, vault: Transactions, settings: AppSettings, now: Now) -> MeOut:
    """Read the summary of your account. All data held about you is at `/v1/me/access`."""
    subject = subjects.get(session, me.id)
    due = renewal.list_due(session, subject_id=me.id, days=settings.renewal_days, now=now)
    return MeOut(
        subject_id=subject.id,
        display_name=subjects.read_display_name(vault, subject),
        registered_on=subject.registered_on,
        restricted=subject.restricted,
        renewals_due=[
            DueOut(
                consent_id=grant.id,
                purpose=grant.purpose,
                relying_party_id=grant.relying_party_id,
                notice_sha256=grant.notice_sha256,
                valid_until=grant.valid_until,
                renewable=renewable,
            )
            for grant, renewable in due
        ],
    )
