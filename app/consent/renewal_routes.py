"""HTTP route to renew a consent."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.consent import examples, renewal
from app.consent.errors import ConsentRequiredError, NoticeChangedError
from app.consent.routes import GrantOut
from app.kit.errors import NotFoundError
from app.subjects.routes import Me
from app.transparency.verify.bundle import Bundle
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppClock, Transactions
from app.web.live_gate import BEHIND_LIVE_GATE, NotReadyError
from app.web.openapi import problem_responses, with_examples

router = APIRouter(prefix="/v1/me/consents", tags=["consent"], route_class=PersonRoute)


class RenewalIn(BaseModel):
    """Your renewed agreement."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.RENEWAL))

    notice_sha256: Annotated[
        str, Field(pattern="^[0-9a-f]{64}$", description="The notice that you read again: the one you agreed to.")
    ]
    valid_until: Annotated[
        AwareDatetime | None,
        Field(description="When the consent ends, not before its present end; the service chooses if you do not."),
    ] = None


class RenewedOut(GrantOut):
    """The consent with its new end."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RENEWED))

    receipt: Bundle
    """Signed: keep it."""


@router.post(
    "/{consent_id}/renewal",
    name="renew",
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(NotFoundError, ConsentRequiredError, NoticeChangedError, NotReadyError),
)
def renew(consent_id: UUID, body: RenewalIn, me: Me, vault: Transactions, clock: AppClock) -> RenewedOut:
    """Renew a consent.

    Read the notice again and agree once more: the consent's end moves, and your template and reference stay. If the
    notice has changed, the answer is 409 and you need a new consent. An ended consent cannot be renewed.
    """
    grant, receipt = renewal.renew(
        vault,
        by=me,
        consent_id=consent_id,
        notice_sha256=body.notice_sha256,
        chosen_end=body.valid_until,
        clock=clock,
    )
    return RenewedOut(**GrantOut.model_validate(grant).model_dump(), receipt=receipt)
