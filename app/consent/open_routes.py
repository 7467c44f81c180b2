"""HTTP routes of consent that are open to all: the notices, and the proof of a consent for each holder of its id."""

from datetime import date, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import ConfigDict

from app.consent import examples, notices, proofs
from app.consent.dependencies import NoticeFacts
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.web.auth import OpenRoute
from app.web.dependencies import PRIVATE, Read
from app.web.openapi import ResponseBody, media_response, merge_responses, problem_responses, with_examples
from app.web.pagination import AFTER, DEFAULT_LIMIT, Limit, Page, matching

router = APIRouter(prefix="/v1/notices", tags=["open to all"], route_class=OpenRoute)
proof_router = APIRouter(prefix="/v1/consent-proofs", tags=["open to all"], route_class=OpenRoute)

PurposeAndLanguage = Annotated[str | None, matching(rf"({'|'.join(Purpose)})\..{{1,16}}"), AFTER]
"""Position in the list of notices; one is in force for each purpose and language."""
MARKDOWN = media_response("text/markdown", "The exact text of the notice.")


class NoticeOut(ResponseBody):
    """A notice in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.NOTICE))

    sha256: str
    purpose: Purpose
    language: str
    version: int
    published_at: datetime


class ProofOut(ResponseBody):
    """Proof that a consent existed. It does not name the person."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PROOF))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The notice that the person read: `/v1/notices/{sha256}`."""
    given_on: date
    ended_on: date | None
    """None while the consent is in force."""


@router.get("")
def list_notices(
    session: Read, facts: NoticeFacts, limit: Limit = DEFAULT_LIMIT, after: PurposeAndLanguage = None
) -> Page[NoticeOut]:
    """List the notices in force. One for each purpose and language: read yours before you decide.

    A notice that no longer describes this service, or that is retired, is not listed. New consents wait for its next
    version.
    """
    found = notices.list_in_force(session, facts)
    return Page.part(found, limit, after, key=lambda notice: f"{notice.purpose}.{notice.language}", out=NoticeOut.of)


@router.get("/{sha256}", response_class=Response, responses=merge_responses(problem_responses(NotFoundError), MARKDOWN))
def get_notice(sha256: str, session: Read) -> Response:
    """Read a notice. Its address contains the SHA-256 of its text, so the text never changes."""
    return Response(
        notices.read_text(session, sha256),
        media_type="text/markdown",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


@proof_router.get("/{consent_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def get_consent_proof(consent_id: UUID, session: Read) -> ProofOut:
    """Read the proof that a consent existed.

    Each holder of the consent's random id can read it, without an account, and for a time after the consent has ended.
    It names the notice, the purpose, the relying party, and the days on which the consent began and ended; it never
    names the person.
    """
    proof = proofs.find(session, consent_id)
    if proof is None:
        raise NotFoundError
    return ProofOut.of(proof, consent_id=consent_id)
