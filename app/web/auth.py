"""Who is asking. A route's class is its role; a route without one fails the build.

The bearer token is checked before the body is read: FastAPI reads bodies before dependencies, so this is not one.
"""

import hashlib
import inspect
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from fastapi import Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.concurrency import run_in_threadpool

from app.db.sqlite.store import Store
from app.kit.errors import BusyError, InvalidRequestError, Problem
from app.web.openapi import merge_responses, problem_responses
from app.web.problems import RequestTimeoutError, StorageUnavailableError, TooLargeError

TOKEN_BYTES = 32
"""256 random bits: guessing is hopeless, so one SHA-256 is enough to store a token by (OWASP ASVS 5.0, 11.4)."""


class Role(StrEnum):
    """Who may call a route."""

    OPEN = "open"
    PERSON = "person"
    RELYING_PARTY = "relying party"


class UnauthenticatedError(Problem):
    """There is no token, or not one that is in force."""

    status = 401
    slug = "unauthenticated"
    title = "Not authenticated"
    detail = "Send a token that is in force as `Authorization: Bearer …`."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(Problem):
    """The token is in force, but belongs to another role."""

    status = 403
    slug = "forbidden"
    title = "Not for this role"
    detail = "This address is for another role than your token's. A person and a relying party have different tokens."


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a token belongs to."""

    role: Role
    id: UUID
    token_id: UUID


Authenticator = Callable[[Store, bytes], Principal | None]
"""Finds whose token has this SHA-256 digest."""


def new_token(prefix: str) -> str:
    """Make a random token that says by its prefix what it is for."""
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """Return the SHA-256 by which a token is stored."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


def _principal(request: Request) -> Principal:
    given = request.headers.getlist("Authorization")
    # Of two, a proxy may have gone by one and we by the other.
    scheme, token = get_authorization_scheme_param(given[0] if len(given) == 1 else None)
    if scheme.lower() == "bearer":
        for prefix, find in request.app.state.authenticators.items():
            if token.startswith(prefix):
                principal: Principal | None = find(request.app.state.data, token_digest(token))
                if principal is not None:
                    return principal
    raise UnauthenticatedError


def _told(endpoint: Callable[..., Any]) -> tuple[str, str]:
    """Return the first sentence of what *endpoint* says of itself, and the rest."""
    first, _, rest = (inspect.getdoc(endpoint) or "").partition(".")
    return first, rest.strip() or first


class DeclaredRoute(APIRoute):
    """A route that says who may call it, and what it can answer besides the good answer.

    The first sentence of its docstring is the summary of the operation, the rest its description.
    """

    role: ClassVar[Role]
    scheme: ClassVar[HTTPBearer | None] = None
    always: ClassVar[tuple[type[Problem], ...]] = (InvalidRequestError, StorageUnavailableError, TooLargeError)
    """What every route of this role can answer."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        """Add the role's problems and scheme to what the decorator says."""
        own = options.pop("responses", None) or {}
        options["responses"] = merge_responses(problem_responses(*self.always), own)
        summary, text = _told(endpoint)
        options["summary"] = options.get("summary") or summary
        options["description"] = options.get("description") or text
        if self.scheme is not None:
            options["dependencies"] = [Security(self.scheme), *(options.get("dependencies") or ())]
        super().__init__(path, endpoint, **options)
        if self.body_field is not None:
            self.responses = merge_responses(self.responses, problem_responses(RequestTimeoutError, BusyError))


class RoleRoute(DeclaredRoute):
    """A route for one role, whose token is checked first of all."""

    always = (*DeclaredRoute.always, UnauthenticatedError, ForbiddenError)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Put the check in front of FastAPI's own handler."""
        handle = super().get_route_handler()

        async def check_then_handle(request: Request) -> Response:
            principal = await run_in_threadpool(_principal, request)
            if principal.role is not self.role:
                raise ForbiddenError
            request.state.principal = principal
            return await handle(request)

        return check_then_handle


class OpenRoute(DeclaredRoute):
    """A route for everybody."""

    role = Role.OPEN


class PersonRoute(RoleRoute):
    """A route for a person, about themselves."""

    role = Role.PERSON
    scheme = HTTPBearer(scheme_name="person", description="A person's access token: `mien_sub_…`", auto_error=False)


class PartyRoute(RoleRoute):
    """A route for a relying party."""

    role = Role.RELYING_PARTY
    scheme = HTTPBearer(scheme_name="relying_party", description="A relying party's key: `mien_rp_…`", auto_error=False)


async def principal(request: Request) -> Principal:
    """Return who the route's check found."""
    found: Principal = request.state.principal
    return found
