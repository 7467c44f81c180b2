"""The strict profile of HTTP: requests that two programs could read in two ways are refused.

A proxy and this service must see the same host, the same end of the body, the same path and the same credentials.
"""

import re
from collections.abc import Sequence
from typing import Final

from app.web.problems import MalformedRequestError

MAX_FIELDS = 128
"""Fields in the head of a request."""
ONCE: Final = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"content-length",
        b"content-type",
        b"cookie",
        b"date",
        b"expect",
        b"from",
        b"host",
        b"idempotency-key",
        b"if-modified-since",
        b"if-range",
        b"if-unmodified-since",
        b"max-forwards",
        b"origin",
        b"proxy-authorization",
        b"range",
        b"referer",
        b"transfer-encoding",
        b"user-agent",
    }
)
"""Fields that may come once. Two `traceparent` are ignored, as W3C Trace Context asks."""
VERSIONS = {"1.0", "1.1"}
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]*)(:[0-9]{0,5})?")
_AMBIGUOUS = re.compile(rb"(?i)\\|%2f|%5c|%00")

Fields = Sequence[tuple[bytes, bytes]]
"""Names in lower case, with values."""


def check_head(*, version: str, target: bytes, fields: Fields) -> None:
    """Refuse a head that the profile does not allow.

    Raises:
        MalformedRequestError: with the reason.
    """
    reason = _fault_in_fields(version, fields) or _fault_in_target(target)
    if reason:
        raise MalformedRequestError(reason)


def body_length(fields: Fields) -> int | None:
    """Return the length of the body after a checked head; None if it comes in chunks."""
    for name, value in fields:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            return int(value)
    return 0


def _fault_in_fields(version: str, fields: Fields) -> str | None:
    if len(fields) > MAX_FIELDS:
        return f"The head of the request has more than {MAX_FIELDS} fields"
    names = [name for name, _ in fields]
    if version not in VERSIONS:
        return "Send the request with HTTP/1.1"
    if len(names) != len(set(names)):
        for name in sorted(ONCE):
            if names.count(name) > 1:
                return f"Send the field `{name.decode()}` once"
    values = dict(fields)
    host, encoding = values.get(b"host"), values.get(b"transfer-encoding")
    if host is None:
        return "Send one `Host` field" if version != "1.0" else _fault_in_encoding(encoding, version)
    if _HOST.fullmatch(host) is None:
        return "Send `Host` as a name or an address, with a port where it needs one"
    return _fault_in_encoding(encoding, version)


def _fault_in_encoding(encoding: bytes | None, version: str) -> str | None:
    if encoding is None:
        return None
    if version == "1.0":
        return "HTTP/1.0 has no `Transfer-Encoding`: send `Content-Length`"
    return None if encoding.strip().lower() == b"chunked" else "Send `Transfer-Encoding` as `chunked`, or not at all"


def _fault_in_target(target: bytes) -> str | None:
    if b"#" in target or _AMBIGUOUS.search(target.partition(b"?")[0]):
        return "Send a path without `%2f`, `%5c`, `%00`, `\\` and `#`: programs read them in different ways"
    return None
