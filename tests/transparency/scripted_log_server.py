"""A small HTTP service of a transparency log that answers as a test scripts it: falsely, too slowly, or badly."""

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
from tests.transparency.trees import LEAVES, MemoryTree


@dataclass
class SignedLog:
    """A log that signs any leaves."""

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
        checkpoint = Checkpoint(self.origin, len(self.leaves), merkle.root(MemoryTree(self.leaves), len(self.leaves)))
        return sign_checkpoint(checkpoint, name=self.origin, private_key=self.key)

    def consistency(self, size: int) -> tuple[int, bytes]:
        if size > len(self.leaves):
            return 422, b"{}"
        proof = merkle.consistency_proof(MemoryTree(self.leaves), size, len(self.leaves))
        body = {"from": size, "size": len(self.leaves), "hashes": [node.hex() for node in proof]}
        return 200, json.dumps({**body, "checkpoint": self.note()}).encode()

    def jwks(self) -> bytes:
        public = self.key.public_key().public_bytes_raw()
        key = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(public), "kid": thumbprint(public)}
        use = {"use": "sig", "alg": "EdDSA", "iat": 0, "mien_signs": "checkpoints", "mien_origin": self.origin}
        return json.dumps({"keys": [{**key, **use}]}).encode()


@dataclass
class LogServer:
    """The service of one log."""

    log: SignedLog
    url: str = ""
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """Answers in place of the log's own, by the beginning of the path."""
    seconds_per_byte: float = 0.0
    location: str = ""
    """The target of a redirect that every answer becomes."""
    requests: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, bytes]:
        self.requests.append(path)
        for prefix, scripted in self.answers.items():
            if path.startswith(prefix):
                return scripted
        if path.startswith("/v1/log/consistency?from="):
            return self.log.consistency(int(path.partition("=")[2]))
        known = {"/v1/log/checkpoint": self.log.note().encode(), "/.well-known/jwks.json": self.log.jwks()}
        return (200, known[path]) if path in known else (404, b"{}")


@contextmanager
def serving_log(log: SignedLog) -> Iterator[LogServer]:
    """Serve *log* from a thread."""
    service = LogServer(log)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = service.answer(self.path)
            self.send_response(302 if service.location else status)
            if service.location:
                self.send_header("Location", service.location)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self._send(body)
            except OSError:
                # The client has closed the connection.
                self.close_connection = True

        def _send(self, body: bytes) -> None:
            if not service.seconds_per_byte:
                self.wfile.write(body)
                return
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                time.sleep(service.seconds_per_byte)

        def log_message(self, *_args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        service.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()
