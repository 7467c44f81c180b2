"""Callers and their tokens, for the rooms that know who owns a token. Imports no web framework."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from app.db.store import Store
from app.kit.errors import Problem

TOKEN_BYTES = 32
"""256 random bits cannot be guessed, so a plain SHA-256 of a token is safe to store (OWASP ASVS 5.0, 11.4)."""


class Role(StrEnum):
    """Who may call a route."""

    OPEN = "open"
    PERSON = "person"
    RELYING_PARTY = "relying party"


class UnauthenticatedError(Problem):
    """The request has no valid token."""

    status = 401
    slug = "unauthenticated"
    title = "Not authenticated"
    detail = "Send a valid token as `Authorization: Bearer …`."
    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": "Bearer"}


class ForbiddenError(Problem):
    """The token is valid, but belongs to another role."""

    status = 403
    slug = "forbidden"
    title = "Not for this role"
    detail = "Your token does not allow this address. People and relying parties have different tokens and addresses."


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller: the owner of a token."""

    role: Role
    id: UUID
    token_id: UUID


Authenticator = Callable[[Store, bytes], Principal | None]
"""Returns the owner of the token with this SHA-256 digest."""


def new_token(prefix: str) -> str:
    """Make a random token; its prefix tells its use."""
    return prefix + secrets.token_urlsafe(TOKEN_BYTES)


def token_digest(token: str) -> bytes:
    """Return the SHA-256 under which a token is stored."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()
