"""HTTP routes of consent: the subject's decisions, and the references of a relying party."""

from datetime import datetime
from enum import StrEnum
from functools import partial
from operator import itemgetter
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, ConfigDict, Field

from app.consent import examples, queries, renewal, service
from app.consent.dependencies import NoticeFacts
from app.consent.errors import ConsentRequiredError, NoticeChangedError
from app.consent.events import EVENTS, RecordedEvent
from app.consent.policy import EventState
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.parties.routes import Party
from app.subjects import service as subjects
from app.subjects.daily_receipts import TooManyDecisionsError
from app.subjects.routes import Me
from app.transparency.verify.bundle import Bundle
from app.vault.kept_answers import Keep, keep_as
from app.web import idempotency
from app.web.auth import PartyRoute, PersonRoute
from app.web.dependencies import BEHIND_LIVE_GATE, PRIVATE, AppClock, AppSettings, AppVault, Now, OptionalLiveGate, Read
from app.web.live_gate import NotReadyError
from app.web.openapi import RequestBody, ResponseBody, merge_responses, problem_responses, with_examples
from app.web.pagination import AFTER, DEFAULT_LIMIT, Limit, Page, Position, matching

router = APIRouter(prefix="/v1/me/consents", tags=["consent"], route_class=PersonRoute)
party_router = APIRouter(prefix="/v1/relying-party", tags=["relying party"], route_class=PartyRoute)

Reference = Annotated[str | None, matching(r"[A-Za-z0-9_-]{24}"), AFTER]
"""Position in the list of references. Any well-formed reference is accepted, so that none is confirmed to exist."""
NoticeDigest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ConsentDecision(StrEnum):
    """Your answer to a notice."""

    GIVEN = "given"
    REFUSED = "refused"


class ConsentIn(RequestBody):
    """Your decision about one purpose, on a notice that you read."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.CONSENT, examples.REFUSAL))

    purpose: Purpose
    relying_party_id: UUID | None = None
    """The recipient; required unless the purpose is `template_renewal`."""
    notice_sha256: NoticeDigest
    """The notice that you read."""
    decision: ConsentDecision = ConsentDecision.GIVEN
    valid_until: AwareDatetime | None = None
    """When the consent ends by itself; the service chooses if you do not."""


class GrantOut(ResponseBody):
    """A consent in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.GRANT))

    consent_id: UUID
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime
    paused: bool
    """Whether it is not used for matching because you dispute a comparison."""


class RenewalIn(RequestBody):
    """Your renewed agreement."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RENEWAL))

    notice_sha256: NoticeDigest
    """The notice that you read again: the one you agreed to."""
    valid_until: AwareDatetime | None = None
    """When the consent ends, not before its present end; the service chooses if you do not."""


class RenewedOut(GrantOut):
    """The consent with its new end."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RENEWED))

    receipt: Bundle
    """Signed: keep it."""


class DecisionOut(ResponseBody):
    """A recorded decision; `subject_ref` is the relying party's own reference to you."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.DECISION))

    consent_id: UUID
    decision: ConsentDecision
    purpose: Purpose
    relying_party_id: UUID | None
    subject_ref: str | None
    notice_sha256: str
    valid_until: datetime | None
    receipt: Bundle | None
    """Signed: keep it. It stays valid after your account is erased."""


class EventOut(ResponseBody):
    """One consent event; never updated."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.EVENT))

    consent_id: UUID
    state: EventState
    event_time: datetime
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    valid_until: datetime | None


class ConsentsOut(Page[EventOut]):
    """All your consent events, newest first, and the consents in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.CONSENTS))

    in_force: list[GrantOut]


class WithdrawalOut(ResponseBody):
    """The end of a consent."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.WITHDRAWAL))

    consent_id: UUID
    state: EventState
    event_time: datetime
    erased_from_disk: bool
    """Whether the last bytes have left the databases' write-ahead logs; if not, they are unreadable and leave soon."""
    receipt: Bundle | None
    """Signed: keep it. None if the consent ended before receipts existed."""


class ReferenceOut(ResponseBody):
    """A person whose consent to you is in force."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.REFERENCE))

    subject_ref: str
    purposes: list[Purpose]


@router.post(
    "",
    status_code=201,
    dependencies=PRIVATE,
    responses=merge_responses(
        problem_responses(NoticeChangedError, TooManyDecisionsError, NotReadyError, *idempotency.PROBLEMS),
        {200: {"model": DecisionOut, "description": "Already given"}},
    ),
)
def decide_consent(
    body: ConsentIn,
    response: Response,
    me: Me,
    vault: AppVault,
    settings: AppSettings,
    facts: NoticeFacts,
    clock: AppClock,
    gate: OptionalLiveGate,
    once: idempotency.IdempotencyKey,
) -> DecisionOut:
    """Give or refuse consent.

    A consent is for one purpose, on the notice that you read. If it is already in force, the answer is 200 with it.
    `verification` and `identification` are for one relying party. `template_renewal` lets this service keep your
    photos, sealed.
    """
    request = service.ConsentRequest(body.purpose, body.relying_party_id, body.notice_sha256)
    given_out = partial(_given_out, response=response)
    give = partial(service.give, vault, by=me, request=request, facts=facts, settings=settings)
    refuse = partial(service.refuse, vault, by=me, request=request, facts=facts, settings=settings)

    def record_decision(keep: Keep[DecisionOut]) -> DecisionOut:
        if body.decision is ConsentDecision.REFUSED:
            return _refused_out(refuse(clock=clock, keep=keep_as(_refused_out, keep)))
        # Not before a refusal: it can end a consent, which is always allowed.
        if gate is not None:
            gate.check()
        return given_out(give(chosen_end=body.valid_until, now=clock(), keep=keep_as(given_out, keep)))

    operation = idempotency.Operation("consent", [body.model_dump_json().encode()], caller=str(me.id))
    return once(operation, DecisionOut, record_decision)


def _refused_out(refused: RecordedEvent) -> DecisionOut:
    decision = ConsentDecision.REFUSED
    return DecisionOut.of(refused.event, decision=decision, subject_ref=None, receipt=refused.receipt)


def _given_out(given: service.GivenConsent, *, response: Response) -> DecisionOut:
    if not given.new:
        response.status_code = 200
    return DecisionOut.of(given.grant, decision=ConsentDecision.GIVEN, receipt=given.receipt)


@router.get("", dependencies=PRIVATE)
def list_consents(
    me: Me, session: Read, vault: AppVault, now: Now, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> ConsentsOut:
    """Read your consents. All events since your first decision, newest first, and the consents in force."""
    key = subjects.key(vault, me.id)
    found = list(EVENTS.list_newest_first(session, key, subject_id=me.id, limit=limit + 1, before=after))
    page = Page[EventOut].cut(found, limit, out=lambda entry: EventOut.of(entry.record))
    in_force = queries.list_in_force(session, subject_id=me.id, now=now)
    return ConsentsOut(items=page.items, next=page.next, in_force=[GrantOut.of(grant) for grant in in_force])


@router.delete("/{consent_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def withdraw_consent(
    consent_id: UUID, me: Me, vault: AppVault, settings: AppSettings, clock: AppClock
) -> WithdrawalOut:
    """Withdraw a consent.

    When this returns, its template and key are destroyed and no decision uses it any more. So are the kept photos that
    served only this consent. You can repeat the request without effect.
    """
    recorded, settled = service.withdraw(vault, subject_id=me.id, consent_id=consent_id, settings=settings, clock=clock)
    return WithdrawalOut.of(recorded.event, erased_from_disk=settled, receipt=recorded.receipt)


@router.post(
    "/{consent_id}/renewal",
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(
        NotFoundError, ConsentRequiredError, NoticeChangedError, TooManyDecisionsError, NotReadyError
    ),
)
def renew_consent(
    consent_id: UUID,
    body: RenewalIn,
    me: Me,
    vault: AppVault,
    *,
    settings: AppSettings,
    facts: NoticeFacts,
    clock: AppClock,
) -> RenewedOut:
    """Renew a consent.

    Read the notice again and agree once more: the consent's end moves, and your template and reference stay. If the
    notice has changed, the answer is 409 and you need a new consent. An ended consent cannot be renewed.
    """
    grant, receipt = renewal.renew(
        vault,
        by=me,
        consent_id=consent_id,
        notice_sha256=body.notice_sha256,
        facts=facts,
        chosen_end=body.valid_until,
        settings=settings,
        clock=clock,
    )
    return RenewedOut.of(grant, receipt=receipt)


@party_router.get("/subjects", dependencies=PRIVATE)
def list_references(
    party: Party, session: Read, now: Now, limit: Limit = DEFAULT_LIMIT, after: Reference = None
) -> Page[ReferenceOut]:
    """List the people who consent to you now.

    Each has a reference that only you know. A listed reference may be unusable for a time: you do not learn why.
    """
    found = queries.list_references(session, relying_party_id=party.id, now=now, limit=limit + 1, after=after)
    return Page.cut(found, limit, key=itemgetter(0), out=lambda one: ReferenceOut(subject_ref=one[0], purposes=one[1]))
