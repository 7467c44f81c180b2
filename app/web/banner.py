"""What every answer says in `prototype`: that nobody answers for it."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "Mien-Controller"


class Banner:
    """ASGI middleware: one header more, the same on every answer."""

    def __init__(self, app: ASGIApp, *, controller: str) -> None:
        self.app = app
        self._controller = controller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add it to the head of the answer."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = self._controller
            await send(message)

        await self.app(scope, receive, told if scope["type"] == "http" else send)
