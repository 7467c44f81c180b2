"""Renewing over HTTP, and the summary of an account with what is due."""

from datetime import datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.consent import examples, queries, renewal
from app.consent.errors import ConsentRequiredError, NoticeChangedError
from app.consent.routes import GrantOut
from app.db.sqlite.prepared import within
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.subjects import service as subjects
from app.subjects.routes import AccountOut, Me
from app.transparency.verify.bundle import Bundle
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppClock, Config, Now, Read, Transactions
from app.web.live_gate import BEHIND_LIVE_GATE, NotReadyError
from app.web.openapi import problem_responses, with_examples

router = APIRouter(prefix="/v1/me/consents", tags=["consent"], route_class=PersonRoute)
me_router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)


class DueOut(BaseModel):
    """A consent that ends soon unless you renew it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DUE))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The text that you said yes to: read it again before you renew."""
    valid_until: datetime
    renewable: bool
    """Whether that text is still in force. If not, decide anew on the one that is."""

    @classmethod
    def of(cls, due: renewal.Due) -> Self:
        """Show *due*."""
        grant = due.grant
        return cls(
            consent_id=grant.id,
            purpose=grant.purpose,
            relying_party_id=grant.relying_party_id,
            notice_sha256=grant.notice_sha256,
            valid_until=grant.valid_until,
            renewable=due.renewable,
        )


class MeOut(AccountOut):
    """A summary of the account."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.ME))

    renewals_due: list[DueOut]
    """Consents that end soon, the first to end first."""


class RenewalIn(BaseModel):
    """A person's yes, once more."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.RENEWAL))

    notice_sha256: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="The notice that you read again; the one you consented on.")
    ]
    valid_until: Annotated[
        AwareDatetime | None,
        Field(description="When it ends by itself, not before it would now; the service chooses if you do not."),
    ] = None


class RenewedOut(GrantOut):
    """The consent with its new end."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RENEWED))

    receipt: Bundle
    """Signed: keep it."""


@me_router.get("", name="me", dependencies=PRIVATE)
def summary(me: Me, session: Read, vault: Transactions, config: Config, now: Now) -> MeOut:
    """Read the summary of your account. Everything that is held about you is at `/v1/me/access`."""
    subject = subjects.get(session, me.id)
    due = renewal.due(session, within(session), subject_id=me.id, days=config.renewal_days, now=now)
    return MeOut(
        subject_id=subject.id,
        display_name=subjects.display_name(vault, subject),
        registered_on=subject.registered_on,
        restricted=subject.restricted,
        renewals_due=[DueOut.of(one) for one in due],
    )


@router.post(
    "/{consent_id}/renewal",
    name="renew",
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(NotFoundError, ConsentRequiredError, NoticeChangedError, NotReadyError),
)
def renew(consent_id: UUID, body: RenewalIn, me: Me, vault: Transactions, tell_time: AppClock) -> RenewedOut:
    """Renew a consent.

    You are asked again, on the text that you said yes to: its end moves, and your template and reference stay. If the
    text has changed since, that is 409, and a new consent is needed. What has ended is not renewed.
    """
    renewed = renewal.renew(
        vault,
        by=me,
        consent_id=consent_id,
        notice_sha256=body.notice_sha256,
        chosen_end=body.valid_until,
        tell_time=tell_time,
    )
    shown = GrantOut.of(queries.view(renewed.grant))
    return RenewedOut(**shown.model_dump(), receipt=renewed.receipt)
