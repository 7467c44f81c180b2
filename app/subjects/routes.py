"""HTTP routes of a subject's account.

`GET /v1/me`, the summary, is in `consent/account_routes.py`, because it lists consents to renew.
"""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from app.kit.errors import NotFoundError, TooManyAttemptsError
from app.kit.text import ReadableText
from app.subjects import examples, restriction, service
from app.subjects.daily_receipts import TooManyDecisionsError
from app.transparency.verify.bundle import Bundle
from app.vault.kept_answers import Keep, keep_as
from app.vault.tables import KeptAnswer
from app.web import idempotency
from app.web.auth import OpenRoute, PersonRoute, principal
from app.web.callers import Principal
from app.web.dependencies import (
    BEHIND_LIVE_GATE,
    PRIVATE,
    AppClock,
    AppRecoveries,
    AppSettings,
    AppSignUps,
    AppVault,
    Now,
    Read,
    Tx,
)
from app.web.live_gate import NotReadyError
from app.web.openapi import RequestBody, ResponseBody, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, DayAndId, Limit, Page

Me = Annotated[Principal, Depends(principal)]
"""The subject who makes the request."""

DisplayName = Annotated[ReadableText, Field(min_length=1, max_length=200)]


def _is_true(value: object) -> bool:
    """Accept only `true`: `Literal[True]` alone accepts 1 too."""
    return value is True


open_router = APIRouter(prefix="/v1", tags=["registering"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me", tags=["account"], route_class=PersonRoute)


class RegistrationIn(RequestBody):
    """Registration: no e-mail address and no password."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.REGISTRATION))

    declared_adult: Annotated[Literal[True], BeforeValidator(_is_true)]
    """You state that you are of age. The service does not estimate it."""
    display_name: DisplayName | None = None
    """The name that you want to be called by; only you see it."""


class RegisteredOut(ResponseBody):
    """Your credentials. They are shown only once."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.REGISTERED))

    subject_id: UUID
    access_token: str
    recovery_code: str


class RecoveryIn(RequestBody):
    """The code that was shown at registration or at the last recovery."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RECOVERY))

    recovery_code: SecretStr


class AccountOut(ResponseBody):
    """Your account."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ACCOUNT))

    subject_id: UUID
    display_name: str | None
    registered_on: date
    restricted: bool


class RectifiedOut(AccountOut):
    """Your account after the correction."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RECTIFIED))

    receipt: Bundle
    """Signed. It states that a correction was made, without the name."""


class RectificationIn(RequestBody):
    """A correction; null removes the name."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RECTIFICATION))

    display_name: DisplayName | None


class RestrictionOut(ResponseBody):
    """The state of the restriction."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RESTRICTION))

    restricted: bool
    receipt: Bundle | None
    """Signed. None if the request changed nothing."""


class TokenOut(ResponseBody):
    """An access token. The service stores only its hash."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.TOKEN))

    token_id: UUID
    created_on: date
    last_used_on: date | None
    """Written within minutes of a use; None until then for a token from an older version."""
    current: bool


class NewTokenOut(ResponseBody):
    """A new access token. It is shown only once."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.NEW_TOKEN))

    token_id: UUID
    access_token: str


@open_router.post(
    "/subjects",
    status_code=201,
    dependencies=[*PRIVATE, *BEHIND_LIVE_GATE],
    responses=problem_responses(
        service.RegistrationClosedError, TooManyAttemptsError, NotReadyError, *idempotency.PROBLEMS
    ),
)
def register_subject(
    request: Request,
    body: RegistrationIn,
    vault: AppVault,
    settings: AppSettings,
    now: Now,
    sign_ups: AppSignUps,
    once: idempotency.UnguessableIdempotencyKey,
) -> RegisteredOut:
    """Register as a person.

    For adults, by their own statement; no e-mail address and no password. The token and the recovery code are shown
    only in this answer. The number of registrations from one address is limited, and the operator can close
    registration.
    """

    def register_new(keep: Keep[RegisteredOut]) -> RegisteredOut:
        if settings.registration == "closed":
            raise service.RegistrationClosedError
        sign_ups.attempt(request)
        keep_credentials = keep_as(RegisteredOut.of, keep)
        return RegisteredOut.of(service.register(vault, display_name=body.display_name, now=now, keep=keep_credentials))

    usable = KeptAnswer.subject_id.not_in(service.erasing_subject_ids())
    operation = idempotency.Operation("sign-up", [body.model_dump_json().encode()], usable=usable)
    return once(operation, RegisteredOut, register_new)


@open_router.post(
    "/recoveries",
    status_code=201,
    dependencies=PRIVATE,
    responses=problem_responses(service.UnknownRecoveryCodeError, TooManyAttemptsError),
)
def recover_account(
    request: Request, body: RecoveryIn, vault: AppVault, now: Now, recoveries: AppRecoveries
) -> RegisteredOut:
    """Recover your account with the recovery code.

    You get a new token and a new code; all older tokens and the used code end. The number of wrong codes from one
    address is limited; a correct code always works.
    """
    with recoveries.failures(request):
        credentials = service.recover(vault, recovery_code=body.recovery_code.get_secret_value(), now=now)
    return RegisteredOut.of(credentials)


@router.patch("", dependencies=PRIVATE)
def rectify_account(
    body: RectificationIn, me: Me, session: Tx, vault: AppVault, settings: AppSettings, now: Now
) -> RectifiedOut:
    """Correct your display name. Null removes it (GDPR Art. 16)."""
    subject, receipt = service.rectify(
        session, vault, by=me, display_name=body.display_name, settings=settings, now=now
    )
    return RectifiedOut.of(subject, subject_id=me.id, display_name=body.display_name, receipt=receipt)


@router.put("/restriction", dependencies=PRIVATE)
def restrict_matching(me: Me, vault: AppVault, settings: AppSettings, clock: AppClock) -> RestrictionOut:
    """Stop all use of your face.

    Your data stays unchanged, but no relying party gets an answer about you until you lift the restriction (GDPR
    Art. 18). You can repeat the request without effect.
    """
    receipt = restriction.restrict(vault, by=me, settings=settings, clock=clock)
    return RestrictionOut(restricted=True, receipt=receipt)


@router.delete("/restriction", dependencies=PRIVATE, responses=problem_responses(TooManyDecisionsError))
def lift_restriction(me: Me, session: Tx, vault: AppVault, settings: AppSettings, now: Now) -> RestrictionOut:
    """Lift the restriction. Your consents in force can be used again. You can repeat the request without effect."""
    receipt = restriction.lift_restriction(session, vault, by=me, settings=settings, now=now)
    return RestrictionOut(restricted=False, receipt=receipt)


@router.get("/tokens", dependencies=PRIVATE)
def list_tokens(me: Me, session: Read, limit: Limit = DEFAULT_LIMIT, after: DayAndId = None) -> Page[TokenOut]:
    """List your access tokens. The service stores only their hashes, so a token cannot be read again."""
    return Page.part(
        service.list_tokens(session, me.id),
        limit,
        after,
        key=lambda token: f"{token.created_on}.{token.id}",
        out=lambda token: TokenOut.of(token, token_id=token.id, current=token.id == me.token_id),
    )


@router.post("/tokens", status_code=201, dependencies=PRIVATE, responses=problem_responses(service.TooManyTokensError))
def add_token(me: Me, session: Tx, now: Now) -> NewTokenOut:
    """Add a token for another device. It is shown only in this answer."""
    token_id, access_token = service.add_token(session, subject_id=me.id, with_token=me.token_id, now=now)
    return NewTokenOut(token_id=token_id, access_token=access_token)


@router.delete("/tokens/{token_id}", status_code=204, dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def revoke_token(token_id: UUID, me: Me, vault: AppVault, now: Now) -> None:
    """End one of your tokens. It no longer works when this returns."""
    service.revoke_token(vault, subject_id=me.id, token_id=token_id, now=now)
