"""Verification over HTTP, for relying parties."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import AfterValidator, ConfigDict

from app.comparisons import examples
from app.comparisons.errors import TooManyFailuresError
from app.comparisons.policy import Decision, Liveness
from app.consent import permits
from app.consent.errors import NoSuchConsentError
from app.consent.examples import SUBJECT_REF
from app.faces.flaws import PHOTO_REFUSALS
from app.kit.errors import BusyError
from app.parties.routes import Party
from app.vault.kept_answers import Keep, keep_as
from app.vault.tables import KeptAnswer
from app.verification import service
from app.web import idempotency
from app.web.auth import ProbeRoute
from app.web.dependencies import (
    BEHIND_LIVE_GATE,
    PRIVATE,
    AppClock,
    AppEngine,
    AppMetrics,
    AppSettings,
    AppVault,
    image_bytes,
)
from app.web.live_gate import NotReadyError
from app.web.openapi import ResponseBody, problem_responses, with_examples

router = APIRouter(prefix="/v1", tags=["relying party"], route_class=ProbeRoute)


def _storable(text: str) -> str:
    """Replace surrogates, which a form's `charset` can produce, and NUL: no reference has them.

    SQLite refuses the former, PostgreSQL both.
    """
    return text.encode(errors="replace").decode().replace("\0", "?")


SubjectRef = Annotated[
    str,
    AfterValidator(_storable),
    Form(min_length=1, description="The reference under which you know the person.", examples=[SUBJECT_REF]),
]


class VerifiedOut(ResponseBody):
    """The decision, and nothing else about the person."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.VERIFIED))

    comparison_id: UUID
    decision: Decision
    target_fmr: float
    liveness: Liveness


@router.post(
    "/verifications",
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(
        NoSuchConsentError,
        TooManyFailuresError,
        BusyError,
        NotReadyError,
        *PHOTO_REFUSALS,
        *idempotency.PROBLEMS,
    ),
)
def verify_photo(
    party: Party,
    vault: AppVault,
    engine: AppEngine,
    settings: AppSettings,
    clock: AppClock,
    metrics: AppMetrics,
    once: idempotency.IdempotencyKey,
    subject_ref: SubjectRef,
    probe: Annotated[UploadFile, File(description="JPEG, PNG or WebP, with one face in it. It is not stored.")],
) -> VerifiedOut:
    """Verify a face.

    The service compares the face in the photo with the one enrolled under your reference. You learn only the decision,
    and the person sees that you asked. If you may not use the reference, the answer is always the same 404, for any
    reason. After too many photos that did not match, of this person or of many, you have to wait. After too many
    requests with a reference that you may not use, you have to wait too.
    """
    request = service.VerificationRequest(relying_party_id=party.id, key_id=party.token_id, subject_ref=subject_ref)
    image = image_bytes(probe, limit=settings.max_photo_bytes)

    def verified_out(result: service.VerificationResult) -> VerifiedOut:
        return VerifiedOut.of(result, target_fmr=engine.target_fmr, liveness=Liveness.NOT_CHECKED)

    def verify_probe(keep: Keep[VerifiedOut]) -> VerifiedOut:
        keep_result = keep_as(verified_out, keep)
        result = service.verify(vault, engine, request, probe=image, settings=settings, clock=clock, keep=keep_result)
        metrics.count_decision(result.decision)
        return verified_out(result)

    operation = idempotency.Operation(
        "verification",
        [subject_ref.encode(), image],
        caller=str(party.id),
        # The same condition as for a new decision (law 4): after a withdrawal the kept one is not given either.
        usable=KeptAnswer.grant_id.in_(permits.grant_ids_in_force(clock())),
    )
    return once(operation, VerifiedOut, verify_probe)
