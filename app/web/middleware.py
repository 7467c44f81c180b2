"""HEAD is GET without the body (RFC 9110, 9.3.2): for every route alike, and for none in particular."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware: a route that answers GET answers HEAD, with the same status and headers.

    The contract names GET only: what HEAD does is the same everywhere, and clients made from it need no second call.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask for the whole and send its head; what makes the body is told that nobody waits for it."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        ended = False

        async def headless(message: Message) -> None:
            nonlocal ended
            if ended:
                return
            if message["type"] == "http.response.body":
                # At once: a long document is not written for nobody.
                ended, message = True, {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        # A copy: the server goes by the method that was sent, and would wait for a body.
        asked = {**scope, "method": "GET"}
        try:
            await self.app(asked, receive, headless)
        finally:
            if "route" in asked:
                scope["route"] = asked["route"]
