"""What a browser may read from another page; a refusal is a problem document like any other."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response

from app.kit.errors import InvalidRequestError
from app.web.problems import document

REFUSED = 400
"""What the framework answers to a page that may not ask."""


class NotAllowedError(InvalidRequestError):
    """A browser asks whether another page may call, and it may not."""

    status = REFUSED
    detail = "Pages of this origin may not call in this way. Whoever runs the service decides: MIEN_CORS_ORIGINS."


class Cors(CORSMiddleware):
    """The framework's, but for the form of its refusals."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer whether a page may ask."""
        answer = super().preflight_response(request_headers)
        if answer.status_code != REFUSED:
            return answer
        told = {"Vary": answer.headers["Vary"]} if "Vary" in answer.headers else {}
        return document(NotAllowedError(("", bytes(answer.body).decode())), told)
