"""A small receiver for a relying party: it stores Mien's events, and lists the references with a consent.

    python3 examples/receiver.py --jwks jwks.json --issuer mien/… --me RELYING_PARTY_ID --store told.db

It needs Python and `cryptography`. Put it behind a proxy with TLS. `jwks.json` is Mien's answer at
`/.well-known/jwks.json`; `--issuer` is the first line of its `/v1/log/checkpoint`. Fetch both once, over a channel you
trust, and `jwks.json` again when a message is refused for its key. Its checks are explained in
docs/how-to/receive-callbacks.md.
"""

import argparse
import base64
import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

LATE_S, EARLY_S = 300, 60
"""How old a message may be, and how far a clock may be off. A message that is tried again days later is signed anew."""
REMEMBERED_S = 30 * 24 * 3600
"""How long ids are kept: much longer than a message could be replayed."""
LARGEST = 8 * 1024
"""Bytes of a message."""
PATIENCE_S = 10
CLAIMS = {"iss", "aud", "jti", "iat", "event", "subject_ref", "purpose"}


class RefusedError(Exception):
    """The message is not from Mien, not for this recipient, or too old; the text has the reason."""


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def read_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Return the keys that sign events, by name: no key of receipts, no stolen key, no retired key."""
    keys = json.loads(path.read_bytes())["keys"]
    good = [key for key in keys if key.get("mien_signs") == "events" and not {"revoked", "exp"} & key.keys()]
    return {key["kid"]: Ed25519PublicKey.from_public_bytes(_decoded(key["x"])) for key in good}


@dataclass(frozen=True)
class Receiver:
    """The recipient, the trusted issuer and keys, and the store of events."""

    jwks: Path
    issuer: str
    me: str
    store: Path

    def take(self, token: str, *, now: float) -> str:
        """Take one message. What it says is on the disk when this returns `new`, `seen` or `older`.

        Raises:
            RefusedError: it is not to be believed.
        """
        claims = self._opened(token, now)
        with self._written() as told:
            told.execute("DELETE FROM seen WHERE at < ?", [now - REMEMBERED_S])
            if not told.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", [claims["jti"], now]).rowcount:
                return "seen"
            # An ending is final, but for a consent that was given later.
            newer = told.execute(
                "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET event = excluded.event,"
                " iat = excluded.iat WHERE excluded.iat >= known.iat",
                [claims["subject_ref"], claims["purpose"], claims["event"], claims["iat"]],
            ).rowcount
        return "new" if newer else "older"

    def consents(self, subject_ref: str, purpose: str) -> bool:
        """Say whether this person consents, as far as we were told."""
        with self._written() as told:
            query = "SELECT event FROM known WHERE subject_ref = ? AND purpose = ?"
            found = told.execute(query, [subject_ref, purpose]).fetchone()
        return found is not None and found[0] == "given"

    def _opened(self, token: str, now: float) -> dict[str, Any]:
        try:
            head, body, signature = token.split(".")
            header = json.loads(_decoded(head))
            key = read_keys(self.jwks).get(header.pop("kid"))
            if key is None or header != {"alg": "EdDSA", "typ": "mien-event+jws"}:
                raise RefusedError("signed by no key for events that we know, or as something else")
            key.verify(_decoded(signature), f"{head}.{body}".encode())
            claims: dict[str, Any] = json.loads(_decoded(body))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise RefusedError("no message of Mien") from error
        except InvalidSignature as error:
            raise RefusedError("its signature does not fit") from error
        if set(claims) != CLAIMS or claims["event"] not in {"given", "ended"}:
            raise RefusedError("it says something that we do not know")
        if claims["iss"] != self.issuer or claims["aud"] != self.me:
            raise RefusedError("it is of somebody else, or to somebody else")
        if not now - LATE_S <= claims["iat"] <= now + EARLY_S:
            raise RefusedError("it is not of now: old ones may be replayed")
        return claims

    @contextlib.contextmanager
    def _written(self) -> Iterator[sqlite3.Connection]:
        """Open the store for one transaction, on the disk when the block ends."""
        with contextlib.closing(sqlite3.connect(self.store, timeout=PATIENCE_S)) as told, told:
            told.execute("PRAGMA synchronous=FULL")
            told.execute("CREATE TABLE IF NOT EXISTS seen (jti TEXT PRIMARY KEY, at REAL)")
            told.execute(
                "CREATE TABLE IF NOT EXISTS known (subject_ref TEXT, purpose TEXT, event TEXT, iat INTEGER,"
                " PRIMARY KEY (subject_ref, purpose))"
            )
            yield told


def serve(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    """Return a server that hands every POST to *receiver*: 204 if it was taken, also if it was known already."""

    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > LARGEST:
                self.send_error(413)
                return
            try:
                receiver.take(self.rfile.read(int(length)).decode("ascii", "replace"), now=time.time())
            except RefusedError as error:
                self.send_error(400, explain=str(error))
                return
            self.send_response(204)
            self.end_headers()

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    """Receive until stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jwks", type=Path, required=True)
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--me", required=True, help="our relying_party_id")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9000)
    given = parser.parse_args()
    server = serve(Receiver(given.jwks, given.issuer, given.me, given.store), given.port)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
