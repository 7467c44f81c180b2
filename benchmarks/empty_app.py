"""An application that only reads the body of a request: the lower bound of any service on uvicorn.

It runs in its own process, prints its port, and ends when its input is closed.
"""

import os
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from app.demo.command_line import HOST

_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def application(
    scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Take the body in, and answer."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b"{}"})


def _leave_with_input() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve."""
    with socket.create_server((HOST, 0)) as listening:
        sys.stdout.write(f"{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=_leave_with_input, daemon=True).start()
        config = uvicorn.Config(application, log_config=None, access_log=False, lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main()
