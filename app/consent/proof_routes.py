"""The proof of a consent over HTTP, for whoever holds the consent's id."""

from datetime import date
from typing import Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from app.consent import examples, proofs
from app.consent.tables import ConsentProof
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.web.auth import OpenRoute
from app.web.dependencies import PRIVATE, Read
from app.web.openapi import problem_responses, with_examples

router = APIRouter(prefix="/v1/consent-proofs", tags=["open to all"], route_class=OpenRoute)


class ProofOut(BaseModel):
    """That a consent existed. Who gave it is not in it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.PROOF))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    """The text that was read: `/v1/notices/{sha256}`."""
    given_on: date
    ended_on: date | None
    """None while the consent is in force."""

    @classmethod
    def of(cls, consent_id: UUID, proof: ConsentProof) -> Self:
        """Show *proof*."""
        return cls(
            consent_id=consent_id,
            purpose=proof.purpose,
            relying_party_id=proof.relying_party_id,
            notice_sha256=proof.notice_sha256,
            given_on=proof.given_on,
            ended_on=proof.ended_on,
        )


@router.get("/{consent_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def consent_proof(consent_id: UUID, session: Read) -> ProofOut:
    """See the proof that a consent existed.

    Whoever holds the consent's random id can see it, without an account, and for a time after its end. It says which
    text was agreed to, for what and for whom, and on which days it began and ended: never by whom.
    """
    proof = proofs.find(session, consent_id)
    if proof is None:
        raise NotFoundError
    return ProofOut.of(consent_id, proof)
