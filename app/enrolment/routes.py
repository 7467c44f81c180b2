"""Enrolment over HTTP."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import BaseModel, ConfigDict

from app.consent.errors import ConsentRequiredError
from app.consent.examples import CONSENT_ID
from app.enrolment import examples, more_photos, service
from app.faces.cards.references import CountedOver
from app.faces.flaws import PHOTO_REFUSALS
from app.faces.service import RunningEngine
from app.kit.errors import BusyError, NotFoundError
from app.settings import Settings
from app.subjects.routes import Me
from app.subjects.service import RestrictedError
from app.templates import policy, store
from app.templates.errors import NotTheSamePersonError
from app.templates.status import TemplateState, list_statuses
from app.vault.kept_answers import Keep, keep_as
from app.web import idempotency
from app.web.auth import EnrolmentRoute, PersonRoute
from app.web.dependencies import (
    BEHIND_LIVE_GATE,
    NO_STORE,
    PRIVATE,
    AppClock,
    AppEngine,
    AppSettings,
    AppVault,
    Now,
    image_bytes,
)
from app.web.live_gate import NotReadyError
from app.web.openapi import media_response, merge_responses, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, DayAndId, Limit, Page

router = APIRouter(prefix="/v1/me", tags=["enrolment"], route_class=PersonRoute)
"""Every route but the enrolment itself."""
upload_router = APIRouter(prefix="/v1/me", tags=["enrolment"], route_class=EnrolmentRoute)
"""The enrolment: its body may be larger than any other."""

JPEG = media_response("image/jpeg", "The photo, without location, camera data or comments.")
MAX_CONSENTS = 20
"""For more relying parties, the subject sends several requests."""


ConsentIds = Annotated[
    list[UUID],
    Form(
        min_length=1,
        max_length=MAX_CONSENTS,
        description="Each consent gets its own template.",
        examples=[[CONSENT_ID]],
    ),
]
Photos = Annotated[
    list[UploadFile],
    File(min_length=1, max_length=policy.MAX_PHOTOS, description="JPEG, PNG or WebP, recognised by its content."),
]


class PhotoOut(BaseModel):
    """Quality of one photo. `docs/explanation/faces.md` explains each measure."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PHOTO))

    index: int
    quality: dict[str, float]


class MorePhotosOut(BaseModel):
    """Error rates with the enrolled number of photos and with more, in the trial on the engine's card."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    photos: int
    """Photos of this enrolment. Identical files count once."""
    asked_for: int
    """Photos that this service asks for. Fewer are accepted."""
    fnmr: float
    """Share of attempts in which the person was not recognised, with this number of photos."""
    more_photos: int
    fnmr_with_more: float
    at_fmr: float
    """False match rate of both figures in the trial: near the target in force."""
    counted_over: CountedOver
    """`people`: the mean over people. `pairs`: over all pairs of photos."""
    trial: str
    in_words: str


class EnrolledOut(BaseModel):
    """A finished enrolment."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ENROLLED))

    enrolment_id: UUID
    engine: str
    photos: list[PhotoOut]
    more_photos: MorePhotosOut | None = None
    """Gain from another photo; null if the engine's card has no figures for it."""

    @classmethod
    def build(
        cls, result: service.EnrolmentResult, *, engine: RunningEngine, settings: Settings, different_photos: int
    ) -> Self:
        """Return the answer, with the advice that the engine's card supports."""
        asked_for = more_photos.count_asked_for(settings, result.purposes)
        advice = more_photos.advise(engine, photos=different_photos, asked_for=asked_for)
        return cls(
            enrolment_id=result.enrolment_id,
            engine=engine.card.id,
            photos=[PhotoOut(index=index, quality=dict(quality)) for index, quality in enumerate(result.qualities)],
            more_photos=None if advice is None else MorePhotosOut.model_validate(advice),
        )


class LabelOut(BaseModel):
    """An engine and the hash of its weights."""

    model_config = ConfigDict(from_attributes=True)

    engine: str
    weights_sha256: str


class TemplateOut(BaseModel):
    """The reference for one consent. The export contains its vector."""

    model_config = ConfigDict(use_attribute_docstrings=True, from_attributes=True)

    template_id: UUID
    consent_id: UUID
    engine: str
    """Engine that made the template, by the label sealed with it."""
    weights_sha256: str
    labelled_falsely_as: LabelOut | None
    """Label in the database, if it differs. Such a template is never compared."""
    engine_in_force: bool
    """Whether the template can be compared: only those of the engine in force can."""
    ends_on: date | None
    """Day on which the template ends because a newer engine replaced its own."""
    to_do: str | None
    """The next step for you; null if there is none."""


class EnrolmentOut(BaseModel):
    """One enrolment: its templates, and its photos if you agreed to keep them."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ENROLMENT))

    enrolment_id: UUID
    enrolled_on: date
    templates: list[TemplateOut]
    photo_ids: list[UUID]

    @classmethod
    def build(cls, enrolment: store.Enrolment, statuses: Sequence[TemplateState]) -> Self:
        """Combine *enrolment* with the *statuses* of its templates."""
        return cls(
            enrolment_id=enrolment.id,
            enrolled_on=enrolment.enrolled_on,
            templates=[TemplateOut.model_validate(one) for one in statuses if one.enrolment_id == enrolment.id],
            photo_ids=enrolment.photo_ids,
        )


class DeletionOut(BaseModel):
    """A deleted enrolment."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DELETION))

    enrolment_id: UUID
    erased_from_disk: bool
    """Whether the last bytes have left the disk. If not, they are unreadable, and the service removes them later."""


@upload_router.post(
    "/enrolments",
    status_code=201,
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=merge_responses(
        problem_responses(ConsentRequiredError, RestrictedError, BusyError, NotReadyError, *idempotency.PROBLEMS),
        problem_responses(NotTheSamePersonError, *PHOTO_REFUSALS, members=examples.first_photo),
    ),
)
def enrol_photos(
    me: Me,
    vault: AppVault,
    engine: AppEngine,
    settings: AppSettings,
    clock: AppClock,
    once: idempotency.IdempotencyKey,
    consent_id: ConsentIds,
    photos: Photos,
    keep_photos: Annotated[bool, Form(description="Needs a consent to `template_renewal`.")] = False,  # noqa: FBT002 - a form field
    capture_id: Annotated[UUID | None, Form(description="Ignored in this version.")] = None,
) -> EnrolledOut:
    """Enrol your own photos.

    Send one to five photos of you alone; several give fewer errors. `more_photos` in the answer has the number that the
    service asks for, and the gain from another one. Each consent gets its own template, which replaces an older one. If
    a photo cannot be used, nothing is kept, and `photos` lists the reason and the next step. The service deletes the
    photos after measuring, unless you set `keep_photos` and consented to `template_renewal`.
    """
    images = [image_bytes(photo, limit=settings.max_photo_bytes) for photo in photos]
    enrolled_out = partial(EnrolledOut.build, engine=engine, settings=settings, different_photos=len(set(images)))

    def enrol_photos(keep: Keep[EnrolledOut]) -> EnrolledOut:
        result = service.enrol(
            vault,
            engine,
            by=me,
            consent_ids=consent_id,
            photos=images,
            keep_photos=keep_photos,
            clock=clock,
            keep=keep_as(enrolled_out, keep),
        )
        return enrolled_out(result)

    fields = f"{[str(one) for one in consent_id]} {keep_photos} {capture_id}"
    operation = idempotency.Operation("enrolment", [fields.encode(), *images], caller=str(me.id))
    return once(operation, EnrolledOut, enrol_photos)


@router.get("/enrolments", dependencies=PRIVATE)
def list_enrolments(
    me: Me, vault: AppVault, now: Now, limit: Limit = DEFAULT_LIMIT, after: DayAndId = None
) -> Page[EnrolmentOut]:
    """List your enrolments, oldest first.

    Each has its templates, and the photos that you asked to keep.

    Each template names its engine. If another engine is in force now, the template can no longer be compared: `ends_on`
    is its last day and `to_do` the next step.
    """
    with vault.data.read() as session:
        found = store.list_enrolments(session, me.id)
    out = partial(EnrolmentOut.build, statuses=list_statuses(vault, me.id, now=now))
    return Page.part(found, limit, after, key=lambda one: f"{one.enrolled_on}.{one.id}", out=out)


@router.delete(
    "/enrolments/{enrolment_id}",
    dependencies=PRIVATE,
    responses=problem_responses(NotFoundError),
)
def delete_enrolment(enrolment_id: UUID, me: Me, vault: AppVault, clock: AppClock) -> DeletionOut:
    """Delete an enrolment. Its templates, photos and keys are gone when this returns; your consents stay in force."""
    erased = service.delete_enrolment(vault, subject_id=me.id, enrolment_id=enrolment_id, clock=clock)
    return DeletionOut(enrolment_id=enrolment_id, erased_from_disk=erased)


@router.get(
    "/photos/{photo_id}", response_class=Response, responses=merge_responses(problem_responses(NotFoundError), JPEG)
)
def get_photo(photo_id: UUID, me: Me, vault: AppVault) -> Response:
    """Download one of your kept photos. Its location, camera data and comments were never kept."""
    jpeg = service.open_photo(vault, subject_id=me.id, photo_id=photo_id)
    return Response(jpeg, media_type="image/jpeg", headers=NO_STORE)
