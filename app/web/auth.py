"""Authenticate callers. The class of a route names the role that may call it.

The bearer token is checked before the body is read. FastAPI reads bodies before it resolves dependencies, so the check
is in the route class and not in a dependency. So is the caller's share of the memory for bodies.
"""

import inspect
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, ClassVar

from anyio.to_thread import run_sync
from fastapi import Request, Response, Security, params
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from starlette.exceptions import HTTPException

from app.kit.errors import BusyError, InvalidRequestError, Problem
from app.web.application_state import ApplicationState, state_of
from app.web.callers import ForbiddenError, Principal, Role, UnauthenticatedError, token_digest
from app.web.forms import StrictRequest
from app.web.lanes import caller_of
from app.web.openapi import merge_responses, problem_responses
from app.web.problems import MalformedRequestError, RequestTimeoutError, StorageUnavailableError, TooLargeError
from app.web.turns import DOCUMENT_TURNS, PHOTO_TURN, SHORT_TURN


def _principal(request: Request) -> Principal:
    # The HTTP profile refuses a second field: a proxy could have checked one, and this service the other.
    scheme, token = get_authorization_scheme_param(request.headers.get("Authorization"))
    # Pasted with a space, or a non-breaking one, before or after it.
    token = token.strip()
    if scheme.lower() == "bearer":
        state = state_of(request, ApplicationState)
        for prefix, find in state.authenticators.items():
            if token.startswith(prefix):
                principal = find(state.vault.data, token_digest(token))
                if principal is not None:
                    return principal
    raise UnauthenticatedError


def _summary_and_description(endpoint: Callable[..., Any]) -> tuple[str, str]:
    """Return the first sentence of the docstring of *endpoint*, and the rest."""
    first, _, rest = (inspect.getdoc(endpoint) or "").partition(".")
    return first, rest.strip() or first


class DeclaredRoute(APIRoute):
    """A route with its role and its problems in the OpenAPI document.

    The first sentence of its docstring is the summary of the operation, the rest its description.
    """

    role: ClassVar[Role]
    scheme: ClassVar[HTTPBearer | None] = None
    always: ClassVar[tuple[type[Problem], ...]] = (
        MalformedRequestError,
        InvalidRequestError,
        StorageUnavailableError,
        TooLargeError,
    )
    """The problems that every route of this role can answer."""
    turns: ClassVar[Sequence[params.Depends]] = (SHORT_TURN,)
    """The turns that a request of this route takes (`app/web/turns.py`)."""
    takes_photos: ClassVar[bool] = False
    """Whether the body has photos, which have a budget of memory of their own."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:  # noqa: ANN401 - FastAPI's own
        """Add the role's problems and security scheme to the decorator's options."""
        own = options.pop("responses", None) or {}
        options["responses"] = merge_responses(problem_responses(*self.always), own)
        summary, description = _summary_and_description(endpoint)
        options["summary"] = options.get("summary") or summary
        options["description"] = options.get("description") or description
        # Before all other dependencies: a request that waits must hold no transaction.
        scheme = () if self.scheme is None else (Security(self.scheme),)
        options["dependencies"] = [*self.turns, *scheme, *(options.get("dependencies") or ())]
        super().__init__(path, endpoint, **options)
        if self.body_field is not None:
            self.responses = merge_responses(self.responses, problem_responses(RequestTimeoutError, BusyError))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read forms and JSON by our own rules (`app/web/forms.py`), in the caller's turn, and count their memory."""
        handle = super().get_route_handler()

        async def handle_body(request: Request) -> Response:
            state, caller = state_of(request, ApplicationState), caller_of(request)
            memory = state.bodies.photos if self.takes_photos else state.bodies.others
            async with AsyncExitStack() as held:
                if self.takes_photos:
                    await held.enter_async_context(state.lanes.uploads[self.role].turn(caller))
                body = held.enter_context(memory.body(caller, request.receive))
                try:
                    return await handle(StrictRequest(request.scope, body.receive))
                except HTTPException as error:
                    # FastAPI takes every error of a body for a malformed one.
                    if isinstance(error.__cause__, BusyError):
                        raise error.__cause__ from error
                    raise

        return handle_body


class RoleRoute(DeclaredRoute):
    """A route for one role; its token is checked before anything else."""

    always = (*DeclaredRoute.always, UnauthenticatedError, ForbiddenError)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the token before FastAPI's own handler runs."""
        handle = super().get_route_handler()

        async def check_then_handle(request: Request) -> Response:
            threads = state_of(request, ApplicationState).lanes.authentication_threads
            principal = await run_sync(_principal, request, limiter=threads)
            if principal.role is not self.role:
                raise ForbiddenError
            request.state.principal = principal
            return await handle(request)

        return check_then_handle


class OpenRoute(DeclaredRoute):
    """A public route."""

    role = Role.OPEN


class PersonRoute(RoleRoute):
    """A route for the subject, about their own data."""

    role = Role.PERSON
    scheme = HTTPBearer(scheme_name="person", description="A person's access token: `mien_sub_…`", auto_error=False)


class PartyRoute(RoleRoute):
    """A route for a relying party."""

    role = Role.RELYING_PARTY
    scheme = HTTPBearer(scheme_name="relying_party", description="A relying party's key: `mien_rp_…`", auto_error=False)


class DocumentRoute(PersonRoute):
    """A route that answers with a document of the subject."""

    turns = DOCUMENT_TURNS


class EnrolmentRoute(PersonRoute):
    """A route that takes photos of the subject."""

    turns = (PHOTO_TURN,)
    takes_photos = True


class ProbeRoute(PartyRoute):
    """A route that takes a photo from a relying party."""

    turns = (PHOTO_TURN,)
    takes_photos = True


async def principal(request: Request) -> Principal:
    """Return the caller that the route has authenticated."""
    caller: Principal = request.state.principal
    return caller
