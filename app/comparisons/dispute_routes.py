"""Disputes over HTTP: the person says of a comparison that it was not them, and takes that back."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.comparisons import disputes, examples
from app.kit.errors import NotFoundError
from app.kit.text import ReadableText
from app.subjects.routes import Me
from app.transparency.verify.bundle import Bundle
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppClock, Now, Transactions, Tx
from app.web.openapi import problem_responses, with_examples

router = APIRouter(prefix="/v1/me/comparisons", tags=["account"], route_class=PersonRoute)

LONGEST_NOTE = 1000
"""Characters."""


class DisputeIn(BaseModel):
    """What you want to say of it, if anything."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.DISPUTE))

    note: Annotated[
        Annotated[ReadableText, Field(min_length=1, max_length=LONGEST_NOTE)] | None,
        Field(description="Sealed under your key; whoever runs this service can read it, to look into what happened."),
    ] = None


WITHOUT_A_NOTE = DisputeIn()


class DisputeOut(BaseModel):
    """Whether you dispute this comparison."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DISPUTED))

    comparison_id: UUID
    disputed: bool
    paused: bool
    """Whether your face is not used for that relying party until you lift this."""
    note: str | None
    receipt: Bundle | None
    """Signed. None if it was so already."""


def _shown(comparison_id: UUID, now_so: disputes.Outcome) -> DisputeOut:
    return DisputeOut(
        comparison_id=comparison_id,
        disputed=now_so.disputed,
        paused=now_so.paused,
        note=now_so.note,
        receipt=now_so.receipt,
    )


@router.put("/{comparison_id}/dispute", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def dispute(
    comparison_id: UUID, me: Me, vault: Transactions, tell_time: AppClock, body: DisputeIn = WITHOUT_A_NOTE
) -> DisputeOut:
    """Say that this was not you.

    Nobody is matched for that relying party until you lift it, whoever shows your face. To repeat it is harmless; a new
    note takes the place of the old one.
    """
    outcome = disputes.dispute(vault, by=me, comparison_id=comparison_id, note=body.note, tell_time=tell_time)
    return _shown(comparison_id, outcome)


@router.delete("/{comparison_id}/dispute", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def lift_dispute(comparison_id: UUID, me: Me, session: Tx, vault: Transactions, now: Now) -> DisputeOut:
    """Take that back. With the last dispute for a relying party lifted, you can be matched for it again."""
    return _shown(comparison_id, disputes.lift(session, vault, by=me, comparison_id=comparison_id, now=now))
