"""A small HTTP service that answers whatever a test tells it to: a log that lies, dawdles, or says nothing of use."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.transparency.verify import merkle
from app.transparency.verify.canonical_json import encode_base64url
from app.transparency.verify.checkpoint import Checkpoint, Verifier, sign_checkpoint
from app.transparency.verify.jws import thumbprint
from tests.transparency.trees import LEAVES, Grown


@dataclass
class Log:
    """A log that says what it likes, signed."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    origin_id: UUID = field(default_factory=uuid4)
    leaves: list[bytes] = field(default_factory=lambda: LEAVES[:100])

    @property
    def origin(self) -> str:
        return f"mien/{self.origin_id}"

    @property
    def vkey(self) -> str:
        return Verifier(self.origin, self.key.public_key()).vkey

    def note(self) -> str:
        checkpoint = Checkpoint(self.origin, len(self.leaves), merkle.root(Grown(self.leaves), len(self.leaves)))
        return sign_checkpoint(checkpoint, name=self.origin, private_key=self.key)

    def consistency(self, size: int) -> tuple[int, bytes]:
        if size > len(self.leaves):
            return 422, b"{}"
        proof = merkle.consistency_proof(Grown(self.leaves), size, len(self.leaves))
        said = {"from": size, "size": len(self.leaves), "hashes": [one.hex() for one in proof]}
        return 200, json.dumps({**said, "checkpoint": self.note()}).encode()

    def jwks(self) -> bytes:
        public = self.key.public_key().public_bytes_raw()
        of_key = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public), "kid": thumbprint(public)}
        of_use = {"use": "sig", "alg": "EdDSA", "iat": 0, "mien_signs": "checkpoints", "mien_origin": self.origin}
        return json.dumps({"keys": [{**of_key, **of_use}]}).encode()


@dataclass
class Liar:
    """The service; `answers` are given in place of what the log says, by the beginning of the path."""

    log: Log
    url: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    drip_s: float = 0.0
    """Seconds between two bytes of an answer."""
    location: str = ""
    """Where every answer sends on to."""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        for prefix, given in self.answers.items():
            if path.startswith(prefix):
                return given
        if path.startswith("/v1/log/consistency?from="):
            return self.log.consistency(int(path.partition("=")[2]))
        known = {"/v1/log/checkpoint": self.log.note().encode(), "/.well-known/jwks.json": self.log.jwks()}
        return (200, known[path]) if path in known else (404, b"{}")


@contextmanager
def lying(log: Log) -> Iterator[Liar]:
    liar = Liar(log)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = liar.answer(self.path)
            self.send_response(302 if liar.location else status)
            if liar.location:
                self.send_header("Location", liar.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self._send(body)
            except OSError:
                # Nobody waits for it any more.
                self.close_connection = True

        def _send(self, body: bytes) -> None:
            if not liar.drip_s:
                self.wfile.write(body)
                return
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                time.sleep(liar.drip_s)

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        liar.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield liar
        finally:
            server.shutdown()
            thread.join()
