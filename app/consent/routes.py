"""Consent over HTTP: notices for everybody, decisions for the person, references for the relying party."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.consent import events, examples, notices, queries, service
from app.consent.errors import NoticeChangedError
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import Notice
from app.db.sqlite.prepared import within
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.parties.routes import Party
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.transparency.verify.bundle import Bundle
from app.web.auth import OpenRoute, PartyRoute, PersonRoute
from app.web.dependencies import PRIVATE, AppClock, Config, Now, Read, Transactions
from app.web.live_gate import NotReadyError, OptionalLiveGate
from app.web.openapi import media_response, merge_responses, problem_responses, with_examples
from app.web.pagination import CURSOR_DESCRIPTION, DEFAULT_LIMIT, Limit, Page, Position, cursor_pattern

open_router = APIRouter(prefix="/v1/notices", tags=["open to all"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me/consents", tags=["consent"], route_class=PersonRoute)
party_router = APIRouter(prefix="/v1/relying-party", tags=["relying party"], route_class=PartyRoute)

PurposeAndLanguage = Annotated[
    Annotated[str, cursor_pattern(rf"({'|'.join(Purpose)})\..{{1,16}}")] | None, Query(description=CURSOR_DESCRIPTION)
]
"""For the list of notices: one is in force for each."""
Reference = Annotated[
    Annotated[str, cursor_pattern(r"[A-Za-z0-9_-]{24}")] | None, Query(description=CURSOR_DESCRIPTION)
]
"""For the list of references; any may be asked after, so that none is told from one that never was."""
MARKDOWN = media_response("text/markdown", "The exact text, as it was read.")


class ConsentDecision(StrEnum):
    """What a person says to a notice."""

    GIVEN = "given"
    REFUSED = "refused"


class NoticeOut(BaseModel):
    """A notice in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.NOTICE))

    sha256: str
    purpose: Purpose
    language: str
    version: int
    published_at: datetime

    @classmethod
    def of(cls, notice: Notice) -> Self:
        """Show *notice*."""
        return cls.model_validate(notice, from_attributes=True)


class ConsentIn(BaseModel):
    """A person's decision about one purpose, on a notice that they read."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.CONSENT, examples.REFUSAL))

    purpose: Purpose
    relying_party_id: Annotated[
        UUID | None, Field(description="Who may ask; needed unless the purpose is `template_renewal`.")
    ] = None
    notice_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="The notice that you read.")]
    decision: ConsentDecision = ConsentDecision.GIVEN
    valid_until: Annotated[
        AwareDatetime | None, Field(description="When it ends by itself; the service chooses if you do not.")
    ] = None


class GrantOut(BaseModel):
    """A consent in force."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.GRANT))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime
    paused: bool
    """Whether nobody is matched on it, since you said of a comparison that it was not you."""

    @classmethod
    def of(cls, grant: queries.GrantView) -> Self:
        """Show *grant*."""
        return cls(
            consent_id=grant.id,
            purpose=grant.purpose,
            relying_party_id=grant.relying_party_id,
            subject_ref=grant.subject_ref,
            notice_sha256=grant.notice_sha256,
            valid_until=grant.valid_until,
            paused=grant.paused,
        )


class DecisionOut(BaseModel):
    """A decision as it was recorded; `subject_ref` is what the relying party knows the person as."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.DECISION))

    consent_id: UUID
    decision: ConsentDecision
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime | None
    receipt: Bundle | None
    """Signed: keep it. It stays good when your account is gone."""


class EventOut(BaseModel):
    """One consent event; never updated."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.EVENT))

    consent_id: UUID
    state: EventState
    event_time: datetime
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    valid_until: datetime | None

    @classmethod
    def of(cls, event: ConsentEvent) -> Self:
        """Show *event*."""
        return cls.model_validate(event, from_attributes=True)


class ConsentsOut(Page[EventOut]):
    """Every event since the first day, newest first, and what is in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.CONSENTS))

    in_force: list[GrantOut]


class WithdrawalOut(BaseModel):
    """How a consent ended."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.WITHDRAWAL))

    consent_id: UUID
    state: EventState
    event_time: datetime
    erased_from_disk: bool
    """Whether the last bytes have left the databases' logs; if not, they are unreadable and follow by themselves."""
    receipt: Bundle | None
    """Signed: keep it. None where the consent ended before there were any."""


class ReferenceOut(BaseModel):
    """A person who consents to you now."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.REFERENCE))

    subject_ref: str
    purposes: list[Purpose]


@open_router.get("")
def notices_in_force(session: Read, limit: Limit = DEFAULT_LIMIT, after: PurposeAndLanguage = None) -> Page[NoticeOut]:
    """List the notices in force. One for each purpose: read the text of yours before you decide."""
    found = notices.in_force(session)
    return Page.part(found, limit, after, key=lambda one: f"{one.purpose}.{one.language}", out=NoticeOut.of)


@open_router.get(
    "/{sha256}", response_class=Response, responses=merge_responses(problem_responses(NotFoundError), MARKDOWN)
)
def notice_text(sha256: str, session: Read) -> Response:
    """Read a notice. The exact text, for ever: its SHA-256 is its address."""
    return Response(
        notices.text_of(session, sha256),
        media_type="text/markdown",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


@router.post(
    "",
    status_code=201,
    dependencies=PRIVATE,
    responses=merge_responses(
        problem_responses(NoticeChangedError, NotReadyError),
        {200: {"model": DecisionOut, "description": "Already given"}},
    ),
)
def decide(
    body: ConsentIn,
    response: Response,
    me: Me,
    vault: Transactions,
    config: Config,
    tell_time: AppClock,
    gate: OptionalLiveGate,
) -> DecisionOut:
    """Give or refuse consent.

    For one purpose, on the notice that you read; 200 with the standing one if it is already given. `verification` and
    `identification` are for one relying party. `template_renewal` lets this service keep your photos, sealed.
    """
    asked = service.Asked(
        purpose=body.purpose, relying_party_id=body.relying_party_id, notice_sha256=body.notice_sha256
    )
    if body.decision is ConsentDecision.REFUSED:
        refused = service.refuse(vault, by=me, asked=asked, tell_time=tell_time)
        return _decided(body, refused.event.consent_id, subject_ref=None, ends=None, receipt=refused.receipt)
    # A refusal ends a consent that stands: it passes always.
    if gate is not None:
        gate.check()
    given = service.give(vault, by=me, asked=asked, chosen_end=body.valid_until, settings=config, now=tell_time())
    if not given.new:
        response.status_code = 200
    return _decided(
        body,
        given.grant.id,
        subject_ref=given.grant.subject_ref,
        ends=given.grant.valid_until,
        receipt=given.receipt,
    )


def _decided(
    body: ConsentIn, consent_id: UUID, *, subject_ref: str | None, ends: datetime | None, receipt: Bundle | None
) -> DecisionOut:
    return DecisionOut(
        consent_id=consent_id,
        decision=body.decision,
        purpose=body.purpose,
        relying_party_id=body.relying_party_id,
        subject_ref=subject_ref,
        notice_sha256=body.notice_sha256,
        valid_until=ends,
        receipt=receipt,
    )


@router.get("", dependencies=PRIVATE)
def consents(
    me: Me, session: Read, vault: Transactions, now: Now, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> ConsentsOut:
    """Read your consents. Every event since the first day, newest first, and what is in force."""
    key = subjects.key(vault, me.id)
    found = events.of(session, key, subject_id=me.id, limit=limit + 1, before=after)
    page = Page[EventOut].cut(found, limit, key=lambda one: one[0], out=lambda one: EventOut.of(one[1]))
    grants = queries.in_force(within(session), subject_id=me.id, now=now)
    return ConsentsOut(items=page.items, next=page.next, in_force=[GrantOut.of(grant) for grant in grants])


@router.delete("/{consent_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def withdraw(consent_id: UUID, me: Me, vault: Transactions, tell_time: AppClock) -> WithdrawalOut:
    """Withdraw a consent.

    Its template, photos and key are gone when this returns, and no decision is made on it any more. To repeat it is
    harmless.
    """
    recorded, settled = service.withdraw(vault, subject_id=me.id, consent_id=consent_id, tell_time=tell_time)
    event = recorded.event
    return WithdrawalOut(
        consent_id=event.consent_id,
        state=event.state,
        event_time=event.event_time,
        erased_from_disk=settled,
        receipt=recorded.receipt,
    )


@party_router.get("/subjects", name="relying_party_subjects", dependencies=PRIVATE)
def references(
    party: Party,
    session: Read,
    now: Now,
    limit: Limit = DEFAULT_LIMIT,
    after: Reference = None,
) -> Page[ReferenceOut]:
    """List the people who consent to you now. By the references that you know them under, and no others do."""
    found = queries.references(session, relying_party_id=party.id, now=now, limit=limit + 1, after=after)
    return Page.cut(
        found, limit, key=lambda one: one[0], out=lambda one: ReferenceOut(subject_ref=one[0], purposes=one[1])
    )
