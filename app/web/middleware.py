"""ASGI middleware for every request alike: the path of the service, HEAD, the controller header, CORS."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.kit.errors import InvalidRequestError
from app.web.problems import problem_document

CONTROLLER_HEADER = "Mien-Controller"
PREFLIGHT_REFUSED = 400
"""Starlette's status for a refused preflight request."""


class RootPath:
    """Name the path under which a proxy publishes the service, whether the proxy removes it from requests or not.

    uvicorn's own option works only behind a proxy that removes it; FastAPI's parameter is deprecated.
    """

    def __init__(self, app: ASGIApp, *, root_path: str) -> None:
        self.app = app
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the path in the request's own scope, for links and for the OpenAPI document."""
        scope["root_path"] = self._root_path
        await self.app(scope, receive, send)


class HeadAsGet:
    """Answer HEAD on every GET route, with the same status and headers and no body (RFC 9110, 9.3.2).

    The OpenAPI document names GET only, so that generated clients have one method for each route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a HEAD request on as GET, and stop the response after its headers."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def send_head(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                # End it at the first piece: a long document need not be written.
                ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        # A copy: the server reads the method of its own scope, and would wait for a body.
        get_scope = {**scope, "method": "GET"}
        try:
            await self.app(get_scope, receive, send_head)
        finally:
            if "route" in get_scope:
                scope["route"] = get_scope["route"]


class ControllerHeader:
    """Name the controller in a header of every response; in `prototype` that is a demonstration controller."""

    def __init__(self, app: ASGIApp, *, controller: str) -> None:
        self.app = app
        self._controller = controller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the header."""

        async def send_with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[CONTROLLER_HEADER] = self._controller
            await send(message)

        await self.app(scope, receive, send_with_header if scope["type"] == "http" else send)


class OriginNotAllowedError(InvalidRequestError):
    """A browser's preflight request came from an origin, or for a method or header, that is not allowed."""

    status = PREFLIGHT_REFUSED
    detail = "Web pages of this origin may not send this request. The operator can allow the origin: MIEN_CORS_ORIGINS."


class Cors(CORSMiddleware):
    """Starlette's CORS middleware, with refusals as problem documents."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer a preflight request."""
        response = super().preflight_response(request_headers)
        if response.status_code != PREFLIGHT_REFUSED:
            return response
        vary = {"Vary": response.headers["Vary"]} if "Vary" in response.headers else {}
        return problem_document(OriginNotAllowedError(("", bytes(response.body).decode())), vary)
