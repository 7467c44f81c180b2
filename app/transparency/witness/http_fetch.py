"""Something small, fetched from somebody who is not trusted: bounded in size and in time, and from that address only.

The time is for all of it: somebody who sends a byte now and then is as late as somebody who sends none.
"""

import re
from dataclasses import dataclass

import anyio
import httpx

HEADERS = {"Accept-Encoding": "identity", "User-Agent": "mien"}
UNREADABLE = re.compile(r"[^ -~]+")
"""What a terminal could obey."""


class FetchError(Exception):
    """It could not be had; the text says why."""


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """What was answered."""

    status: int
    body: bytes


def normalize_address(url: str) -> str:
    """Return a service's address in the one way that it is written here: without what follows it.

    Raises:
        FetchError: it is no address of a service.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("this is no address; write it as https://example.org") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise FetchError("this is no address of a service; write it as https://example.org, and nothing after it")
    return str(parsed).rstrip("/")


def fetch(url: str, *, largest: int, seconds: float) -> FetchedResponse:
    """Fetch *url*.

    Args:
        url: where.
        largest: bytes of a body that are read at most.
        seconds: how long all of it may take.

    Raises:
        FetchError: there is no answer, or a larger or later one.
    """
    try:
        return anyio.run(_got, url, largest, seconds)
    except TimeoutError as error:
        raise FetchError(f"{url} did not answer within {seconds:g} seconds") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = UNREADABLE.sub(" ", str(error)).strip() or type(error).__name__
        raise FetchError(f"{url} cannot be reached: {why}") from error


async def _got(url: str, largest: int, seconds: float) -> FetchedResponse:
    body = b""
    with anyio.fail_after(seconds):
        async with (
            httpx.AsyncClient(headers=HEADERS, timeout=seconds, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.is_redirect or answer.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchError(f"{url} answers with a redirect, or in an encoding that was not asked for")
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > largest:
                    raise FetchError(f"{url} answers with more than {largest:,} bytes")
    return FetchedResponse(answer.status_code, body)
