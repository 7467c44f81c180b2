"""Tokens for the requests of `fuzz.api`; schemathesis imports this module."""

import os
from typing import Any

import httpx
import schemathesis

ENDING = {"erase_account", "revoke_token"}
"""Operations after which a token works no more; each request to them comes from a new person."""
_tokens: dict[str, str] = {}


def _new_person() -> str:
    answer = httpx.post(f"{os.environ['MIEN_FUZZ_API']}/v1/subjects", json={"declared_adult": True}, timeout=60)
    return str(answer.json()["access_token"])


@schemathesis.auth(refresh_interval=None)
class RoleAuth:
    """Sends every request with a token of the role."""

    def get(self, case: Any, _context: Any) -> str | None:  # noqa: ANN401 - schemathesis' own
        """Return a token; a person's is another for each operation."""
        role, operation = os.environ["MIEN_FUZZ_ROLE"], case.operation.definition.raw["operationId"]
        if role != "person":
            return os.environ["MIEN_FUZZ_KEY"] if role == "relying party" else None
        if operation in ENDING or operation not in _tokens:
            _tokens[operation] = _new_person()
        return _tokens[operation]

    def set(self, case: Any, data: str | None, _context: Any) -> None:  # noqa: ANN401 - schemathesis' own
        """Add it to the request."""
        if data is not None:
            case.headers["Authorization"] = f"Bearer {data}"
