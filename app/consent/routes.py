"""Consent over HTTP: notices for everybody, decisions for the person, references for the relying party."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from app.consent import events, notices, overview, service
from app.consent.errors import NoticeChangedError
from app.consent.policy import ConsentEvent, EventState
from app.consent.tables import Grant, Notice
from app.faces.permit import Purpose
from app.kit.auth import OpenRoute, PartyRoute, PersonRoute
from app.kit.errors import NotFoundError
from app.kit.http import PRIVATE, Config, Now, Read
from app.kit.openapi import answers, media, merged
from app.kit.page import DEFAULT_LIMIT, Last, Limit, Page, Position
from app.parties.routes import Party
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.vault.vault import Transactions

open_router = APIRouter(prefix="/v1/notices", tags=["open to all"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me/consents", tags=["consent"], route_class=PersonRoute)
party_router = APIRouter(prefix="/v1/relying-party", tags=["relying party"], route_class=PartyRoute)


MARKDOWN = media("text/markdown", "The exact text, as it was read.")


class ConsentDecision(StrEnum):
    """What a person says to a notice."""

    GIVEN = "given"
    REFUSED = "refused"


class NoticeOut(BaseModel):
    """A notice in force."""

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

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose
    relying_party_id: UUID | None = None
    notice_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    decision: ConsentDecision = ConsentDecision.GIVEN
    valid_until: AwareDatetime | None = None


class GrantOut(BaseModel):
    """A consent in force."""

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """Show *grant*."""
        return cls(
            consent_id=grant.id,
            purpose=grant.purpose,
            relying_party_id=grant.relying_party_id,
            subject_ref=grant.subject_ref,
            notice_sha256=grant.notice_sha256,
            valid_until=grant.valid_until,
        )


class DecisionOut(BaseModel):
    """A decision as it was recorded; `subject_ref` is what the relying party knows the person as."""

    consent_id: UUID
    decision: ConsentDecision
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime | None


class EventOut(BaseModel):
    """One consent event; never updated."""

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

    in_force: list[GrantOut]


class WithdrawalOut(BaseModel):
    """How a consent ended."""

    consent_id: UUID
    state: EventState
    event_time: datetime
    erased_from_disk: bool
    """Whether the last bytes have left the databases' logs; if not, they are unreadable and follow by themselves."""


class ReferenceOut(BaseModel):
    """A person who consents to you now."""

    subject_ref: str
    purposes: list[Purpose]


@open_router.get("")
def notices_in_force(session: Read, limit: Limit = DEFAULT_LIMIT, after: Last = None) -> Page[NoticeOut]:
    """List the notice in force for each purpose."""
    found = notices.in_force(session)
    return Page.part(found, limit, after, key=lambda notice: notice.sha256, out=NoticeOut.of)


@open_router.get("/{sha256}", response_class=Response, responses=merged(answers(NotFoundError), MARKDOWN))
def notice_text(sha256: str, session: Read) -> Response:
    """Read a notice's exact text; its SHA-256 is its address."""
    return Response(
        notices.text_of(session, sha256),
        media_type="text/markdown",
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )


@router.post(
    "",
    status_code=201,
    dependencies=PRIVATE,
    responses=merged(answers(NoticeChangedError), {200: {"model": DecisionOut, "description": "Already given"}}),
)
def decide(body: ConsentIn, response: Response, me: Me, vault: Transactions, config: Config, now: Now) -> DecisionOut:
    """Give or refuse consent for one purpose. 200 with the standing one if it is already given."""
    asked = service.Asked(
        purpose=body.purpose, relying_party_id=body.relying_party_id, notice_sha256=body.notice_sha256
    )
    if body.decision is ConsentDecision.REFUSED:
        event = service.refuse(vault, subject_id=me.id, asked=asked, now=now)
        return _decided(body, event.consent_id, subject_ref=None, ends=None)
    given = service.give(vault, subject_id=me.id, asked=asked, chosen_end=body.valid_until, settings=config, now=now)
    if not given.new:
        response.status_code = 200
    return _decided(body, given.grant.id, subject_ref=given.grant.subject_ref, ends=given.grant.valid_until)


def _decided(body: ConsentIn, consent_id: UUID, *, subject_ref: str | None, ends: datetime | None) -> DecisionOut:
    return DecisionOut(
        consent_id=consent_id,
        decision=body.decision,
        purpose=body.purpose,
        relying_party_id=body.relying_party_id,
        subject_ref=subject_ref,
        notice_sha256=body.notice_sha256,
        valid_until=ends,
    )


@router.get("", dependencies=PRIVATE)
def consents(
    me: Me, session: Read, vault: Transactions, now: Now, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> ConsentsOut:
    """Read every consent event of yours since the first day, and what is in force."""
    key = subjects.key(vault, me.id)
    found = events.of(session, key, subject_id=me.id, limit=limit + 1, before=after)
    page = Page[EventOut].cut(found, limit, key=lambda one: one[0], out=lambda one: EventOut.of(one[1]))
    grants = overview.in_force(session, subject_id=me.id, now=now)
    return ConsentsOut(items=page.items, next=page.next, in_force=[GrantOut.of(grant) for grant in grants])


@router.delete("/{consent_id}", dependencies=PRIVATE, responses=answers(NotFoundError))
def withdraw(consent_id: UUID, me: Me, vault: Transactions, now: Now) -> WithdrawalOut:
    """Withdraw one consent. Its template, photos and key are gone when this returns."""
    event, settled = service.withdraw(vault, subject_id=me.id, consent_id=consent_id, now=now)
    return WithdrawalOut(
        consent_id=event.consent_id, state=event.state, event_time=event.event_time, erased_from_disk=settled
    )


@party_router.get("/subjects", name="relying_party_subjects", dependencies=PRIVATE)
def references(
    party: Party,
    session: Read,
    now: Now,
    limit: Limit = DEFAULT_LIMIT,
    after: Last = None,
) -> Page[ReferenceOut]:
    """List the references of the people who consent to you now."""
    found = overview.references(session, relying_party_id=party.id, now=now, limit=limit + 1, after=after)
    return Page.cut(
        found, limit, key=lambda one: one[0], out=lambda one: ReferenceOut(subject_ref=one[0], purposes=one[1])
    )
