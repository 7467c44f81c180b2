"""The key-encryption key (KEK) derived by the transit engine of OpenBao or Vault, and stored nowhere else.

Each version of the transit key gives one KEK: its HMAC of a fixed text. A process asks once for each version, so that
no request waits for the network. A rotation adds a version, and afterwards destroys the older ones for good: transit
then derives none of their KEKs.
"""

import base64
import os
from pathlib import Path
from typing import Any

import httpx

from app.kit.crash_points import step
from app.kit.files import UnsafeFileError, read_limited
from app.vault.key_encryption_keys import KekRotation, decode_key
from app.vault.seal import Kek, KekError

TEXT = base64.b64encode(b"mien key-encryption key").decode()
ANSWER_S = 5.0
"""Seconds in which the server must answer."""
MAX_TOKEN_BYTES = 4096
"""Bytes of a token file; a token has about a hundred."""


class TransitError(KekError):
    """The server does not give the key-encryption key now; the text tells the operator why."""


class TransitKek:
    """Key-encryption keys by the versions of one transit key.

    Args:
        url: the address of the transit key.
        token_file: the file with the token for it.
    """

    def __init__(self, url: str, token_file: Path) -> None:
        self._url, self._token_file = url, token_file
        engine, _, self._name = url.rpartition("/keys/")
        # Calls are rare: no connection stays open between two.
        self._client = httpx.Client(base_url=engine, timeout=ANSWER_S, limits=httpx.Limits(max_keepalive_connections=0))
        self._known: dict[int, Kek] = {}
        self._new = 0
        """The version of the rotation that `begin` began."""

    @property
    def interrupted(self) -> bool:
        """Whether the key has an older version: a rotation ends with its destruction."""
        return len(self._versions()) > 1

    def read(self) -> list[Kek]:
        """Return the keys of all versions, the oldest first."""
        versions = self._versions()
        self._known = {version: self._known.get(version) or self._derive(version) for version in versions}
        return list(self._known.values())

    def begin(self, in_force: str) -> KekRotation:  # noqa: ARG002 - the versions tell enough
        """Add a version to the key, unless a rotation was interrupted."""
        resumed = self.interrupted
        if not resumed:
            self._call("POST", f"keys/{self._name}/rotate")
            step("version added to the transit key")
        self._new = self._versions()[-1]
        return KekRotation(self._derive(self._new), resumed=resumed)

    def finish(self) -> None:
        """Destroy the older versions of the key. No one can take that back: the server keeps them no more."""
        oldest = {"min_decryption_version": self._new, "min_encryption_version": self._new}
        self._call("POST", f"keys/{self._name}/config", oldest)
        step("older versions of the transit key disallowed")
        self._call("POST", f"keys/{self._name}/trim", {"min_available_version": self._new})
        step("older versions of the transit key destroyed")

    def _versions(self) -> list[int]:
        return sorted(map(int, self._call("GET", f"keys/{self._name}")["keys"]))

    def _derive(self, version: int) -> Kek:
        path = f"hmac/{self._name}/sha2-256"
        answer: str = self._call("POST", path, {"input": TEXT, "key_version": version})["hmac"]
        return Kek(decode_key(answer.rpartition(":")[2], source=self._url))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Call the server. Returns the data of its answer.

        Raises:
            TransitError: it gives none.
        """
        try:
            answer = self._client.request(method, path, json=body, headers={"X-Vault-Token": self._token()})
            if answer.is_success:
                data: dict[str, Any] = answer.json()["data"] if answer.content else {}
                return data
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            msg = f"the key-encryption key is out of reach: {self._url} does not answer as OpenBao does"
            raise TransitError(msg) from error
        raise TransitError(self._explain(answer.status_code, path))

    def _explain(self, status: int, path: str) -> str:
        if status == httpx.codes.FORBIDDEN:
            return (
                f"OpenBao refuses the token in {self._token_file} for {path}: give it one whose policy allows "
                "that (docs/how-to/manage-keys.md)"
            )
        if status == httpx.codes.NOT_FOUND:
            return f"OpenBao has no transit key at {self._url} (docs/how-to/manage-keys.md)"
        return f"the key-encryption key is out of reach: OpenBao answers {status} to {path}"

    def _token(self) -> str:
        """Return the token. An agent may replace its file at any time."""
        file = self._token_file
        try:
            if os.stat(file).st_mode & 0o077:  # noqa: PTH116 - follows links, as an agent makes them
                raise TransitError(f"{file} may be read by others; make it readable by its owner only (chmod 600)")
            token = read_limited(file, max_bytes=MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
        except (OSError, UnsafeFileError) as error:
            raise TransitError(f"the token file cannot be read: {error}") from error
        if not token.isascii() or not token.isprintable() or not token:
            raise TransitError(f"{file} holds no token")
        return token
