"""The request header `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07).

The draft has the key in double quotes; many clients send it without. Both forms are accepted, and name the same key.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Response
from pydantic import AfterValidator, BaseModel, WithJsonSchema
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnElement, true
from sqlalchemy.orm import Session

from app.kit.clock import Clock
from app.kit.errors import InvalidRequestError, Problem
from app.vault.kept_answers import (
    Answer,
    DependsOn,
    IdempotencyKeyReusedError,
    Keep,
    KeyedRequest,
    RequestInProgressError,
    RequestKey,
    RequestsInProgress,
    keep_nothing,
)
from app.vault.vault import Vault
from app.web.dependencies import AppClock, AppRequestsInProgress, AppVault

Out = TypeVar("Out", bound=BaseModel)
HEADER = "Idempotency-Key"
PROBLEMS: tuple[type[Problem], ...] = (IdempotencyKeyReusedError, RequestInProgressError)
"""The problems that a route with this header can answer."""
MIN_UNGUESSABLE = 22
"""Characters that hold 128 random bits in Base64; a UUID has 36."""
MIN_DISTINCT = 8
"""Different characters, at least. Of 32 random hexadecimal digits fewer are seen once in 25 million keys."""
PATTERN = r'^(?:[!#-+\--\[\]-~]{1,255}|"(?:[ !#-\[\]-~]|\\["\\]){1,255}")$'
"""Visible ASCII without quote, comma and backslash, or a string of a structured field (RFC 9651, 3.3.3)."""
UNGUESSABLE_PATTERN = PATTERN.replace("{1,", f"{{{MIN_UNGUESSABLE},")
DESCRIPTION = (
    "Makes a repetition harmless. Send a new random key, such as a UUID, with each request. If you did not get its "
    "answer, repeat the request with the same key. For 24 hours a repetition has no further effect and gets the same "
    "answer. With other fields or files the answer is 422, and 409 while the first request is in progress. A refused "
    "request is not kept: its repetition is decided anew."
)
UNGUESSABLE_DESCRIPTION = (
    f"{DESCRIPTION} The key opens the kept answer with your credentials, so it must be secret and random: at least "
    f"{MIN_UNGUESSABLE} characters, made from 128 random bits."
)
EXAMPLE = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'


REASON = "Send 1 to 255 visible ASCII characters, with or without double quotes around them"
UNGUESSABLE_REASON = (
    f"Send at least {MIN_UNGUESSABLE} random characters, made from 128 random bits, such as a random UUID"
)


def _check_with(pattern: str, reason: str) -> AfterValidator:
    """Accept only keys that match the regular expression *pattern*."""
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if compiled.fullmatch(text.strip()) is None:
            raise PydanticCustomError("idempotency_key", reason)
        return text.strip()

    return AfterValidator(check)


Key = Annotated[str, _check_with(PATTERN, REASON), WithJsonSchema({"type": "string", "pattern": PATTERN})]
UnguessableKey = Annotated[
    str,
    _check_with(UNGUESSABLE_PATTERN, UNGUESSABLE_REASON),
    WithJsonSchema({"type": "string", "pattern": UNGUESSABLE_PATTERN}),
]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of one caller, with everything that decides its effect."""

    name: str
    request: Sequence[bytes]
    caller: str = ""
    """The caller's id; empty for an operation without authentication."""
    usable: ColumnElement[bool] = field(default_factory=true)
    """Selects the kept answers that may still be given."""


@dataclass(frozen=True, slots=True)
class Once:
    """Does the operation of a request; with an Idempotency-Key, only once."""

    idempotency_key: str | None
    vault: Vault
    clock: Clock
    in_progress: RequestsInProgress
    response: Response

    def __call__(self, operation: Operation, answer: type[Out], do: Callable[[Keep[Out]], Out]) -> Out:
        """Return the kept answer; without one, do the operation and keep its answer.

        Args:
            operation: the operation.
            answer: the model of the answer.
            do: does the operation. It passes the answer to the given function, in the transaction of the effect.
        """
        if self.idempotency_key is None:
            return do(keep_nothing)
        key = RequestKey(self.idempotency_key, operation=operation.name, caller=operation.caller)
        with self.in_progress.claim(key):
            request = KeyedRequest(self.vault, key, operation.request, self.clock)
            found = request.find(operation.usable)
            if found is not None:
                if found.status is not None:
                    self.response.status_code = found.status
                return answer.model_validate_json(found.body)

            def keep(session: Session, made: Out, depends_on: DependsOn) -> None:
                request.keep(session, Answer(self.response.status_code, made.model_dump_json()), depends_on)

            return do(keep)


def _unquote(value: str | None) -> str | None:
    """Return the key as the client chose it, without the quotes of a structured field."""
    if value is None or not value.startswith('"'):
        return value
    return re.sub(r"\\(.)", r"\1", value[1:-1])


async def _once(
    response: Response,
    vault: AppVault,
    clock: AppClock,
    in_progress: AppRequestsInProgress,
    idempotency_key: Annotated[Key | None, Header(alias=HEADER, description=DESCRIPTION, examples=[EXAMPLE])] = None,
) -> Once:
    return Once(_unquote(idempotency_key), vault, clock, in_progress, response)


async def _once_unguessable(
    response: Response,
    vault: AppVault,
    clock: AppClock,
    in_progress: AppRequestsInProgress,
    idempotency_key: Annotated[
        UnguessableKey | None, Header(alias=HEADER, description=UNGUESSABLE_DESCRIPTION, examples=[EXAMPLE])
    ] = None,
) -> Once:
    once = await _once(response, vault, clock, in_progress, idempotency_key)
    if once.idempotency_key is not None and len(set(once.idempotency_key)) < MIN_DISTINCT:
        raise InvalidRequestError((f"/{HEADER}", UNGUESSABLE_REASON))
    return once


IdempotencyKey = Annotated[Once, Depends(_once)]
"""For a route with an authenticated caller."""
UnguessableIdempotencyKey = Annotated[Once, Depends(_once_unguessable)]
"""For a route without authentication: only the key distinguishes one caller from another."""
