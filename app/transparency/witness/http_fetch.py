"""Fetch a small document from an untrusted server: limited in size and time, and without redirects.

The time limit covers the whole answer, so a server that sends one byte at a time gains nothing.
"""

import re
from dataclasses import dataclass

import anyio
import httpx

HEADERS = {"Accept-Encoding": "identity", "User-Agent": "mien"}
UNPRINTABLE = re.compile(r"[^ -~]+")
"""Characters that could control a terminal."""


class FetchError(Exception):
    """There is no usable answer. The text says why."""


@dataclass(frozen=True, slots=True)
class FetchedResponse:
    """The answer of the server."""

    status: int
    body: bytes


def normalize_address(url: str) -> str:
    """Return the address of a service in one spelling, without a slash at the end.

    Raises:
        FetchError: it is not the address of a service.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise FetchError("this is not an address; write it as https://example.org") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise FetchError("this is not an address of a service; write it as https://example.org, without a query")
    return str(parsed).rstrip("/")


def fetch(url: str, *, max_bytes: int, seconds: float) -> FetchedResponse:
    """Fetch *url*.

    Args:
        url: the address.
        max_bytes: the largest accepted body.
        seconds: the limit for the whole answer.

    Raises:
        FetchError: there is no answer, or one that is too large or too late.
    """
    try:
        return anyio.run(_fetch, url, max_bytes, seconds)
    except TimeoutError as error:
        raise FetchError(f"{url} did not answer within {seconds:g} seconds") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        why = UNPRINTABLE.sub(" ", str(error)).strip() or type(error).__name__
        raise FetchError(f"{url} cannot be reached: {why}") from error


async def _fetch(url: str, max_bytes: int, seconds: float) -> FetchedResponse:
    body = b""
    with anyio.fail_after(seconds):
        async with (
            httpx.AsyncClient(headers=HEADERS, timeout=seconds, follow_redirects=False) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.is_redirect or answer.headers.get("Content-Encoding", "identity") != "identity":
                raise FetchError(f"{url} answers with a redirect, or in an encoding that was not requested")
            async for piece in answer.aiter_raw():
                body += piece
                if len(body) > max_bytes:
                    raise FetchError(f"{url} answers with more than {max_bytes:,} bytes")
    return FetchedResponse(answer.status_code, body)
