"""Enrolling over HTTP."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, File, Form, Response, UploadFile
from pydantic import BaseModel, ConfigDict

from app.consent.errors import ConsentRequiredError
from app.consent.examples import CONSENT_ID
from app.enrolment import examples, service
from app.faces.refusals import PHOTO_REFUSALS
from app.kit.errors import BusyError, NotFoundError
from app.subjects.routes import Me
from app.subjects.service import RestrictedError
from app.templates import policy, store
from app.templates import status as standing
from app.templates.errors import NotTheSamePersonError
from app.templates.status import Standing
from app.web.auth import PersonRoute
from app.web.dependencies import NO_STORE, PRIVATE, AppClock, Config, Faces, Now, Transactions, image_bytes
from app.web.live_gate import BEHIND_LIVE_GATE, NotReadyError
from app.web.openapi import media_response, merge_responses, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, DayAndId, Limit, Page

router = APIRouter(prefix="/v1/me", tags=["enrolment"], route_class=PersonRoute)
"""Everything but enrolling itself."""
upload_router = APIRouter(prefix="/v1/me", tags=["enrolment"], route_class=PersonRoute)
"""Enrolling: the one body that may be larger than others."""

JPEG = media_response("image/jpeg", "The photo: pixels and nothing else.")
MOST_CONSENTS = 20
"""More relying parties than that are enrolled in several requests."""


ConsentIds = Annotated[
    list[UUID],
    Form(
        min_length=1,
        max_length=MOST_CONSENTS,
        description="Each gets a template of its own.",
        examples=[[CONSENT_ID]],
    ),
]
Photos = Annotated[
    list[UploadFile],
    File(min_length=1, max_length=policy.MOST_PHOTOS, description="JPEG, PNG or WebP, told by its content."),
]


class PhotoOut(BaseModel):
    """How good one photo is; `docs/explanation/faces.md` says what each measure is."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PHOTO))

    index: int
    quality: dict[str, float]


class EnrolledOut(BaseModel):
    """A finished enrolment."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ENROLLED))

    enrolment_id: UUID
    engine: str
    photos: list[PhotoOut]


class LabelOut(BaseModel):
    """An engine, and the hash of its weights."""

    engine: str
    weights_sha256: str


class TemplateOut(BaseModel):
    """One reference, for one consent; the vector itself comes with the export."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    template_id: UUID
    consent_id: UUID
    engine: str
    """The engine that made it, as it is sealed in it."""
    weights_sha256: str
    labelled_falsely_as: LabelOut | None
    """What the database says, where that is not so; such a template is never compared."""
    engine_in_force: bool
    """Whether anybody can be compared by it: templates never cross from one engine to another."""
    ends_on: date | None
    """The day on which it ends because another engine took the place of its own."""
    to_do: str | None
    """What you can do about it; null if there is nothing to be done."""


class EnrolmentOut(BaseModel):
    """One enrolment: the templates made, and the photos kept if the person agreed to that."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ENROLMENT))

    enrolment_id: UUID
    enrolled_on: date
    templates: list[TemplateOut]
    photo_ids: list[UUID]

    @classmethod
    def of(cls, enrolment: store.Enrolment, known: Sequence[Standing]) -> Self:
        """Show *enrolment*, with what is *known* of how templates stand."""
        return cls(
            enrolment_id=enrolment.id,
            enrolled_on=enrolment.enrolled_on,
            templates=[TemplateOut(**one.told()) for one in known if one.enrolment_id == enrolment.id],
            photo_ids=enrolment.photo_ids,
        )


class DeletionOut(BaseModel):
    """An enrolment that is gone."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DELETION))

    enrolment_id: UUID
    erased_from_disk: bool
    """Whether the last bytes have left the databases' logs; if not, they are unreadable and follow by themselves."""


@upload_router.post(
    "/enrolments",
    status_code=201,
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=merge_responses(
        problem_responses(ConsentRequiredError, RestrictedError, BusyError, NotReadyError),
        problem_responses(NotTheSamePersonError, *PHOTO_REFUSALS, members=examples.first_photo),
    ),
)
def enrol(
    me: Me,
    vault: Transactions,
    faces: Faces,
    config: Config,
    tell_time: AppClock,
    consent_id: ConsentIds,
    photos: Photos,
    keep_photos: Annotated[bool, Form(description="Needs a consent to `template_renewal`.")] = False,  # noqa: FBT002 - a form field
    capture_id: Annotated[UUID | None, Form(description="Ignored in this version.")] = None,  # noqa: ARG001 - accepted for the version with live captures
) -> EnrolledOut:
    """Enrol your own photos.

    One to five photos of you alone, the better for being several; one template for each consent. All or nothing: if a
    photo will not do, `photos` says which, why, and what to do. Enrolling again replaces. The photos themselves are
    dropped, unless you ask to `keep_photos` and consented to `template_renewal`.
    """
    enrolled = service.enrol(
        vault,
        faces,
        by=me,
        consent_ids=consent_id,
        photos=[image_bytes(photo, limit=config.max_photo_bytes) for photo in photos],
        keep_photos=keep_photos,
        tell_time=tell_time,
    )
    return EnrolledOut(
        enrolment_id=enrolled.enrolment_id,
        engine=faces.card.id,
        photos=[PhotoOut(index=index, quality=dict(one)) for index, one in enumerate(enrolled.qualities)],
    )


@router.get("/enrolments", dependencies=PRIVATE)
def enrolments(
    me: Me, vault: Transactions, now: Now, limit: Limit = DEFAULT_LIMIT, after: DayAndId = None
) -> Page[EnrolmentOut]:
    """List your enrolments. Oldest first, with the photos that you asked to keep, and their templates.

    Of each template it is said which engine made it, whether that is the one in force, when it ends if it is not, and
    what there is to do then: templates never cross from one engine to another.
    """
    with vault.data.read() as session:
        found = store.of(session, me.id)
    out = partial(EnrolmentOut.of, known=standing.of(vault, me.id, now=now))
    return Page.part(found, limit, after, key=lambda one: f"{one.enrolled_on}.{one.id}", out=out)


@router.delete(
    "/enrolments/{enrolment_id}",
    name="delete_enrolment",
    dependencies=PRIVATE,
    responses=problem_responses(NotFoundError),
)
def delete(enrolment_id: UUID, me: Me, vault: Transactions, tell_time: AppClock) -> DeletionOut:
    """Delete an enrolment. Its templates, photos and their keys are gone when this returns; the consents stand."""
    settled = service.delete(vault, subject_id=me.id, enrolment_id=enrolment_id, tell_time=tell_time)
    return DeletionOut(enrolment_id=enrolment_id, erased_from_disk=settled)


@router.get(
    "/photos/{photo_id}", response_class=Response, responses=merge_responses(problem_responses(NotFoundError), JPEG)
)
def photo(photo_id: UUID, me: Me, vault: Transactions) -> Response:
    """See one of your kept photos. Pixels and nothing else: place, device and comments were never kept."""
    kept = service.photo(vault, subject_id=me.id, photo_id=photo_id)
    return Response(kept, media_type="image/jpeg", headers=NO_STORE)
