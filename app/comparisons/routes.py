"""The subject's comparisons over HTTP: list them, shorten the list, dispute one."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from app.comparisons import disputes, examples, shorten_history
from app.comparisons.history import COMPARISONS, ComparisonEntry
from app.comparisons.policy import Decision, Liveness
from app.faces.permit import Purpose
from app.kit.days import Day
from app.kit.errors import NotFoundError
from app.kit.text import ReadableText
from app.parties import queries as parties
from app.subjects import service as subjects
from app.subjects.daily_receipts import TooManyDecisionsError
from app.subjects.routes import Me
from app.transparency.verify.bundle import Bundle
from app.web.auth import PersonRoute
from app.web.dependencies import PRIVATE, AppClock, AppSettings, AppVault, Now, Read, Tx
from app.web.openapi import ResponseBody, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

router = APIRouter(prefix="/v1/me/comparisons", tags=["account"], route_class=PersonRoute)

MAX_NOTE_LENGTH = 1000
"""Characters."""


class ComparisonOut(ResponseBody):
    """One use of your template: the relying party, the time and the decision."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.COMPARISON))

    comparison_id: UUID
    relying_party_id: UUID
    relying_party: str
    purpose: Purpose
    decision: Decision
    target_fmr: float
    liveness: Liveness
    at: datetime
    disputed: bool
    """Whether you reported that this was not you."""
    in_sweep: bool
    """Whether the relying party was blocked soon after, because it failed with many people's references."""


class ShortenedOut(ResponseBody):
    """The result of shortening your history."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.SHORTENED))

    deleted: int
    erased_from_disk: bool
    """Whether the last bytes have left the databases' write-ahead logs; if not, that follows automatically."""


class DisputeIn(BaseModel):
    """Your note on the dispute, if you want to add one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.DISPUTE))

    note: Annotated[
        Annotated[ReadableText, Field(min_length=1, max_length=MAX_NOTE_LENGTH)] | None,
        Field(description="Stored encrypted. The controller of this service can read it, to investigate."),
    ] = None


WITHOUT_NOTE = DisputeIn()


class DisputeOut(ResponseBody):
    """Whether you dispute this comparison."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.DISPUTED))

    comparison_id: UUID
    disputed: bool
    paused: bool
    """Whether matching for that relying party is paused until you lift the dispute."""
    note: str | None
    receipt: Bundle | None
    """Signed. Null if nothing changed."""


@router.get("", dependencies=PRIVATE)
def list_comparisons(
    me: Me, session: Read, vault: AppVault, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[ComparisonOut]:
    """List every use of your templates, the newest first.

    Each has the relying party, the time and the decision.
    """
    key = subjects.key(vault, me.id)
    found = list(COMPARISONS.list_newest_first(session, key, subject_id=me.id, limit=limit + 1, before=after))
    names = parties.list_names(session, {entry.record.relying_party_id for entry in found})
    disputed = disputes.disputed_ids(session, me.id)

    def show(entry: ComparisonEntry) -> ComparisonOut:
        name, is_disputed = names[entry.record.relying_party_id], entry.id in disputed
        return ComparisonOut.of(entry.record, comparison_id=entry.id, relying_party=name, disputed=is_disputed)

    return Page.cut(found, limit, out=show)


@router.delete("", dependencies=PRIVATE)
def shorten_comparisons(
    me: Me,
    vault: AppVault,
    clock: AppClock,
    before: Annotated[Day, Query(description="The first day (UTC) whose comparisons stay, as YYYY-MM-DD.")],
) -> ShortenedOut:
    """Shorten your history.

    Deletes every comparison before a day, and the content of the transparency log's entries about them. Tomorrow's date
    deletes all of them. You decide how far back the list goes. Repeating it is harmless.
    """
    return ShortenedOut.of(shorten_history.shorten(vault, by=me, before=before, clock=clock))


@router.put("/{comparison_id}/dispute", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def dispute_comparison(
    comparison_id: UUID,
    me: Me,
    vault: AppVault,
    settings: AppSettings,
    clock: AppClock,
    body: DisputeIn = WITHOUT_NOTE,
) -> DisputeOut:
    """Report that a comparison was not you.

    Until you lift the dispute, that relying party gets no match for you, even with your face. Repeating it is
    harmless; a new note replaces the old one.
    """
    state = disputes.dispute(vault, by=me, comparison_id=comparison_id, note=body.note, settings=settings, clock=clock)
    return DisputeOut.of(state)


@router.delete(
    "/{comparison_id}/dispute",
    dependencies=PRIVATE,
    responses=problem_responses(NotFoundError, TooManyDecisionsError),
)
def lift_dispute(
    comparison_id: UUID, me: Me, session: Tx, vault: AppVault, settings: AppSettings, now: Now
) -> DisputeOut:
    """Lift a dispute.

    When you lift the last dispute for a relying party, it can match you again.
    """
    state = disputes.lift(session, vault, by=me, comparison_id=comparison_id, settings=settings, now=now)
    return DisputeOut.of(state)
