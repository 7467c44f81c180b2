"""A small receiver for a relying party: it stores Mien's events, and knows which references have a consent.

    python3 examples/receiver.py --jwks jwks.json --issuer mien/… --me RELYING_PARTY_ID --store events.db

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
"""How old a message may be, and how far ahead its clock may be. Mien signs a message again at each try."""
REMEMBERED_S = 30 * 24 * 3600
"""How long message ids are kept: much longer than a message is accepted."""
MAX_BYTES = 8 * 1024
"""Longest message that is read."""
TIMEOUT_S = 10
CLAIMS = {"iss", "aud", "jti", "iat", "event", "subject_ref", "purpose"}


class RefusedError(Exception):
    """The message is not from Mien, not for this recipient, or too old; the text has the reason."""


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def read_keys(path: Path) -> dict[str, Ed25519PublicKey]:
    """Return the keys in use that sign events, by key id; keys for receipts and ended keys are left out."""
    keys = json.loads(path.read_bytes())["keys"]
    usable = [key for key in keys if key.get("mien_signs") == "events" and not {"revoked", "exp"} & key.keys()]
    return {key["kid"]: Ed25519PublicKey.from_public_bytes(_decode(key["x"])) for key in usable}


@dataclass(frozen=True)
class Receiver:
    """The recipient, the trusted issuer and keys, and the store of events."""

    jwks: Path
    issuer: str
    me: str
    store: Path

    def take(self, token: str, *, now: float) -> str:
        """Store one message. When this returns `new`, `seen` or `older`, it is on the disk.

        Raises:
            RefusedError: it fails a check.
        """
        claims = self._verify(token, now)
        with self._transaction() as store:
            store.execute("DELETE FROM seen WHERE at < ?", [now - REMEMBERED_S])
            if not store.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", [claims["jti"], now]).rowcount:
                return "seen"
            # The end of a consent is final, unless a consent was given later.
            newer = store.execute(
                "INSERT INTO known VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET event = excluded.event,"
                " iat = excluded.iat WHERE excluded.iat >= known.iat",
                [claims["subject_ref"], claims["purpose"], claims["event"], claims["iat"]],
            ).rowcount
        return "new" if newer else "older"

    def consents(self, subject_ref: str, purpose: str) -> bool:
        """Return whether this person consents, according to the messages received."""
        with self._transaction() as store:
            query = "SELECT event FROM known WHERE subject_ref = ? AND purpose = ?"
            found = store.execute(query, [subject_ref, purpose]).fetchone()
        return found is not None and found[0] == "given"

    def _verify(self, token: str, now: float) -> dict[str, Any]:
        try:
            head, body, signature = token.split(".")
            header = json.loads(_decode(head))
            key = read_keys(self.jwks).get(header.pop("kid"))
            if key is None or header != {"alg": "EdDSA", "typ": "mien-event+jws"}:
                raise RefusedError("not signed as an event by a known key for events")
            key.verify(_decode(signature), f"{head}.{body}".encode())
            claims: dict[str, Any] = json.loads(_decode(body))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise RefusedError("not a message of Mien") from error
        except InvalidSignature as error:
            raise RefusedError("the signature is wrong") from error
        if set(claims) != CLAIMS or claims["event"] not in {"given", "ended"}:
            raise RefusedError("unknown claims or an unknown event")
        if claims["iss"] != self.issuer or claims["aud"] != self.me:
            raise RefusedError("from another issuer, or for another recipient")
        if not now - LATE_S <= claims["iat"] <= now + EARLY_S:
            raise RefusedError("too old, or from the future")
        return claims

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Open the store for one transaction, which is on the disk when the block ends."""
        with contextlib.closing(sqlite3.connect(self.store, timeout=TIMEOUT_S)) as store, store:
            store.execute("PRAGMA synchronous=FULL")
            store.execute("CREATE TABLE IF NOT EXISTS seen (jti TEXT PRIMARY KEY, at REAL)")
            store.execute(
                "CREATE TABLE IF NOT EXISTS known (subject_ref TEXT, purpose TEXT, event TEXT, iat INTEGER,"
                " PRIMARY KEY (subject_ref, purpose))"
            )
            yield store


def serve(receiver: Receiver, port: int) -> ThreadingHTTPServer:
    """Return a server that passes each POST to *receiver*: 204 if the message is stored, or was stored before."""

    class Handler(BaseHTTPRequestHandler):
        timeout = TIMEOUT_S

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > MAX_BYTES:
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
    parser.add_argument("--me", required=True, help="your relying_party_id")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--port", type=int, default=9000)
    options = parser.parse_args()
    server = serve(Receiver(options.jwks, options.issuer, options.me, options.store), options.port)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
