"""HTTP route to the proof of a consent, for each holder of the consent's id."""

from datetime import date
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.consent import examples, proofs
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.web.auth import OpenRoute
from app.web.dependencies import PRIVATE, Read
from app.web.openapi import problem_responses, with_examples

router = APIRouter(prefix="/v1/consent-proofs", tags=["open to all"], route_class=OpenRoute)


class ProofOut(BaseModel):
    """Proof that a consent existed. It does not name the person."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.PROOF))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The notice that the person read: `/v1/notices/{sha256}`."""
    given_on: date
    ended_on: date | None
    """None while the consent is in force."""


@router.get("/{consent_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def consent_proof(consent_id: UUID, session: Read) -> ProofOut:
    """Read the proof that a consent existed.

    Each holder of the consent's random id can read it, without an account, and for a time after the consent has ended.
    It names the notice, the purpose, the relying party, and the days on which the consent began and ended; it never
    names the person.
    """
    proof = proofs.find(session, consent_id)
    if proof is None:
        raise NotFoundError
    return ProofOut(
        consent_id=consent_id,
        purpose=proof.purpose,
        relying_party_id=proof.relying_party_id,
        notice_sha256=proof.notice_sha256,
        given_on=proof.given_on,
        ended_on=proof.ended_on,
    )
