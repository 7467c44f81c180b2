"""A person's account over HTTP."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from app.kit.errors import NotFoundError, TooManyAttemptsError
from app.kit.text import ReadableText
from app.subjects import examples, restriction, service
from app.transparency.verify.bundle import Bundle
from app.web.auth import OpenRoute, PersonRoute, Principal, principal
from app.web.dependencies import PRIVATE, AppClock, Config, Now, Read, Transactions, Tx
from app.web.live_gate import BEHIND_LIVE_GATE, NotReadyError
from app.web.openapi import problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, DayAndId, Limit, Page
from app.web.rate_limit import RateLimiter

Me = Annotated[Principal, Depends(principal)]
"""The person who is asking."""

DisplayName = Annotated[ReadableText, Field(min_length=1, max_length=200)]


def _plainly(value: object) -> bool:
    """Take `true` only: Python takes 1 for it too."""
    return value is True


open_router = APIRouter(prefix="/v1", tags=["registering"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)


class RegistrationIn(BaseModel):
    """What registering takes: no e-mail, no password."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.REGISTRATION))

    declared_adult: Annotated[
        Literal[True], BeforeValidator(_plainly), Field(description="You say that you are of age. Nobody estimates it.")
    ]
    display_name: Annotated[DisplayName | None, Field(description="What you want to be called; only you see it.")] = (
        None
    )


class RegisteredOut(BaseModel):
    """Shown once: neither the token nor the code can be read again."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.REGISTERED))

    subject_id: UUID
    access_token: str
    recovery_code: str


class RecoveryIn(BaseModel):
    """The code that was shown at registering, or at the last recovery."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.RECOVERY))

    recovery_code: SecretStr


class AccountOut(BaseModel):
    """The account."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ACCOUNT))

    subject_id: UUID
    display_name: str | None
    registered_on: date
    restricted: bool


class RectifiedOut(AccountOut):
    """The account as it is now."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RECTIFIED))

    receipt: Bundle
    """Signed; it says that something was corrected, and not what."""


class RectificationIn(BaseModel):
    """What a person can correct; null takes the name away."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.RECTIFICATION))

    display_name: DisplayName | None


class RestrictionOut(BaseModel):
    """Whether you have stopped all use of your face."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RESTRICTION))

    restricted: bool
    receipt: Bundle | None
    """Signed. None if it was so already."""


class TokenOut(BaseModel):
    """One way in; the token itself is not stored."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.TOKEN))

    token_id: UUID
    created_on: date
    last_used_on: date | None
    """Written down within minutes; None until then, for a token of an older version."""
    current: bool


class NewTokenOut(BaseModel):
    """Shown once."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.NEW_TOKEN))

    token_id: UUID
    access_token: str


@open_router.post(
    "/subjects",
    status_code=201,
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(service.RegistrationClosedError, TooManyAttemptsError, NotReadyError),
)
def register(request: Request, body: RegistrationIn, vault: Transactions, config: Config, now: Now) -> RegisteredOut:
    """Register as a person.

    Adults only, self-declared; no e-mail and no password. The token and the recovery code are shown this once. Sign-ups
    are throttled by address, and can be closed by the operator.
    """
    if config.registration == "closed":
        raise service.RegistrationClosedError
    sign_ups: RateLimiter = request.app.state.sign_ups
    sign_ups.attempt(request)
    return _registered(service.register(vault, display_name=body.display_name, now=now))


@open_router.post(
    "/recoveries",
    status_code=201,
    dependencies=PRIVATE,
    responses=problem_responses(service.UnknownRecoveryCodeError, TooManyAttemptsError),
)
def recover(request: Request, body: RecoveryIn, vault: Transactions, now: Now) -> RegisteredOut:
    """Get back in with the recovery code.

    Every older token ends, and so does the code: keep the new one. Wrong codes are throttled by address, a right one
    never is.
    """
    recoveries: RateLimiter = request.app.state.recoveries
    with recoveries.failures(request):
        given = service.recover(vault, recovery_code=body.recovery_code.get_secret_value(), now=now)
    return _registered(given)


def _registered(given: service.NewCredentials) -> RegisteredOut:
    return RegisteredOut(
        subject_id=given.subject_id, access_token=given.access_token, recovery_code=given.recovery_code
    )


@router.patch("", dependencies=PRIVATE)
def rectify(body: RectificationIn, me: Me, session: Tx, vault: Transactions, now: Now) -> RectifiedOut:
    """Correct what you call yourself. Null takes the name away (GDPR Art. 16)."""
    subject, receipt = service.rectify(session, vault, by=me, display_name=body.display_name, now=now)
    return RectifiedOut(
        subject_id=subject.id,
        display_name=body.display_name,
        registered_on=subject.registered_on,
        restricted=subject.restricted,
        receipt=receipt,
    )


@router.put("/restriction", dependencies=PRIVATE)
def restrict(me: Me, vault: Transactions, clock: AppClock) -> RestrictionOut:
    """Stop all use of your face.

    Your data stays as it is, and nobody's question about you is answered any more, until you lift this (GDPR Art. 18).
    To repeat it is harmless.
    """
    return RestrictionOut(restricted=True, receipt=restriction.restrict(vault, by=me, clock=clock))


@router.delete("/restriction", dependencies=PRIVATE)
def lift(me: Me, session: Tx, vault: Transactions, now: Now) -> RestrictionOut:
    """Lift the restriction. The consents that are in force count again; to repeat it is harmless."""
    return RestrictionOut(restricted=False, receipt=restriction.lift(session, vault, by=me, now=now))


@router.get("/tokens", dependencies=PRIVATE)
def tokens(me: Me, session: Read, limit: Limit = DEFAULT_LIMIT, after: DayAndId = None) -> Page[TokenOut]:
    """List your tokens. Each is one way in; the tokens themselves are not stored and cannot be read again."""
    return Page.part(
        service.list_tokens(session, me.id),
        limit,
        after,
        key=lambda token: f"{token.created_on}.{token.id}",
        out=lambda token: TokenOut(
            token_id=token.id,
            created_on=token.created_on,
            last_used_on=token.last_used_on,
            current=token.id == me.token_id,
        ),
    )


@router.post("/tokens", status_code=201, dependencies=PRIVATE)
def add_token(me: Me, session: Tx, now: Now) -> NewTokenOut:
    """Add a token for another device. It is shown this once."""
    token_id, access_token = service.add_token(session, subject_id=me.id, with_token=me.token_id, now=now)
    return NewTokenOut(token_id=token_id, access_token=access_token)


@router.delete("/tokens/{token_id}", status_code=204, dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def revoke_token(token_id: UUID, me: Me, vault: Transactions, now: Now) -> None:
    """End one of your tokens. It opens nothing from the moment that this returns."""
    service.revoke_token(vault, subject_id=me.id, token_id=token_id, now=now)
