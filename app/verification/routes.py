"""Verification for the relying party, the list of uses for the person, the engine's card for everybody."""

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, UploadFile
from pydantic import AfterValidator, BaseModel, ConfigDict

from app.comparisons import disputes, examples, history, shorten_history
from app.comparisons.errors import TooManyFailuresError
from app.comparisons.policy import Decision, Liveness
from app.consent.errors import NoSuchConsentError
from app.consent.examples import SUBJECT_REF
from app.faces.cards import operating_point
from app.faces.cards.card import shipped_cards
from app.faces.flaws import PHOTO_REFUSALS
from app.faces.permit import Purpose
from app.kit.days import Day
from app.kit.errors import BusyError
from app.parties import queries as parties
from app.parties.routes import Party
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.verification import service as verify
from app.web.auth import OpenRoute, PartyRoute, PersonRoute
from app.web.dependencies import PRIVATE, AppClock, Config, Faces, Read, Transactions, image_bytes
from app.web.live_gate import BEHIND_LIVE_GATE, NotReadyError
from app.web.openapi import media_response, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

open_router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)
party_router = APIRouter(prefix="/v1", tags=["relying party"], route_class=PartyRoute)
router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)


def _storable(text: str) -> str:
    """Replace what no reference holds and no database takes: half a character, by way of the form's `charset`."""
    return text.encode(errors="replace").decode()


class VerifiedOut(BaseModel):
    """A decision, and nothing else."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.VERIFIED))

    comparison_id: UUID
    decision: Decision
    target_fmr: float
    liveness: Liveness


class ComparisonOut(BaseModel):
    """One use of your template: who asked, when, and what they learnt."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.COMPARISON))

    comparison_id: UUID
    relying_party_id: UUID
    relying_party: str
    purpose: Purpose
    decision: Decision
    target_fmr: float
    liveness: Liveness
    at: datetime
    disputed: bool
    """Whether you said that this was not you."""
    in_sweep: bool
    """Whether the relying party was stopped soon after, for having tried many people's references."""

    @classmethod
    def of(cls, entry: history.Entry, *, names: dict[UUID, str], disputed: set[UUID]) -> Self:
        """Show *entry*."""
        line = entry.line
        return cls(
            comparison_id=entry.comparison_id,
            relying_party_id=line.relying_party_id,
            relying_party=names[line.relying_party_id],
            purpose=line.purpose,
            decision=line.decision,
            target_fmr=line.target_fmr,
            liveness=line.liveness,
            at=line.at,
            disputed=entry.comparison_id in disputed,
            in_sweep=line.in_sweep,
        )


class ShortenedOut(BaseModel):
    """What was deleted of your history."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.SHORTENED))

    deleted: int
    erased_from_disk: bool
    """Whether the last bytes have left the databases' logs; if not, they follow by themselves."""


@party_router.post(
    "/verifications",
    name="verify",
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(NoSuchConsentError, TooManyFailuresError, BusyError, NotReadyError, *PHOTO_REFUSALS),
)
def verification(
    party: Party,
    vault: Transactions,
    faces: Faces,
    config: Config,
    tell_time: AppClock,
    subject_ref: Annotated[
        str,
        AfterValidator(_storable),
        Form(description="What you know the person as.", examples=[SUBJECT_REF]),
    ],
    probe: Annotated[UploadFile, File(description="JPEG, PNG or WebP, with one face in it. It is not kept.")],
) -> VerifiedOut:
    """Verify a face.

    Ask whether the one in the photo is the one enrolled under a reference. You learn the decision and nothing else; the
    person sees that you asked. Whatever the reason why you may not use the reference, the answer is the same 404.
    After too many photos that did not match, of this person or of many, you have to wait.
    """
    verified = verify.verify(
        vault,
        faces,
        relying_party_id=party.id,
        key_id=party.token_id,
        subject_ref=subject_ref,
        probe=image_bytes(probe, limit=config.max_photo_bytes),
        tell_time=tell_time,
    )
    return VerifiedOut(
        comparison_id=verified.comparison_id,
        decision=verified.decision,
        target_fmr=faces.target_fmr,
        liveness=Liveness.NOT_CHECKED,
    )


@router.get("/comparisons", dependencies=PRIVATE)
def comparisons(
    me: Me, session: Read, vault: Transactions, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[ComparisonOut]:
    """Read every use of your templates. Newest first: who asked, when, and what they learnt."""
    key = subjects.key(vault, me.id)
    found = history.of(session, key, subject_id=me.id, limit=limit + 1, before=after)
    names = parties.list_names(session, {entry.line.relying_party_id for entry in found})
    disputed = disputes.disputed_ids(session, me.id)
    return Page.cut(
        found,
        limit,
        key=lambda entry: entry.position,
        out=lambda entry: ComparisonOut.of(entry, names=names, disputed=disputed),
    )


@router.delete("/comparisons", name="shorten_comparisons", dependencies=PRIVATE)
def shorten(
    me: Me,
    vault: Transactions,
    tell_time: AppClock,
    before: Annotated[Day, Query(description="The first day (UTC) of which comparisons stay, as YYYY-MM-DD.")],
) -> ShortenedOut:
    """Shorten your history.

    Deletes every comparison of before a day, and what the log's entries say of them; with tomorrow's date, all of them.
    The list is yours: how long it goes back is up to you. To repeat it is harmless.
    """
    done = shorten_history.shorten(vault, by=me, before=before, tell_time=tell_time)
    return ShortenedOut(deleted=done.deleted, erased_from_disk=done.settled)


CARD = media_response("application/json", "The card, and under `in_force` what holds now.", shortened=examples.CARD)


@open_router.get("/engine", responses=CARD)
def engine(faces: Faces) -> dict[str, Any]:
    """Read the engine's card.

    Weights, training data, whether the people in it agreed, error rates by group, and the threshold in force; the cards
    of the other engines that ship with this version are beside it, under `others`.
    """
    point = operating_point.find_operating_point(faces.card, faces.target_fmr, faces.target_group)
    return {
        **faces.card.as_document(),
        "in_force": point.as_document(),
        "others": [one.as_document() for one in shipped_cards() if one.id != faces.card.id],
    }
