"""The program itself, as an operator starts it, with settings of the test's choice."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.architecture.source import ROOT

READY_S = 300


@dataclass
class Program:
    """`python -m app serve`, and where it writes."""

    root: Path
    client: httpx.Client

    def log(self) -> str:
        """Return what it has written to standard error so far."""
        return (self.root / "stderr").read_text("utf-8")


@contextmanager
def program(root: Path, *, wait: bool = True, **settings: str) -> Iterator[Program]:
    """Serve from the databases in *root* until the block ends; *settings* are environment variables.

    Without *wait* the first request waits until it is answered, and the engine may still be starting then.
    """
    places = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
    arguments = [sys.executable, "-m", "app", "serve", "--port", "0", "--json"]
    environment = {"PATH": os.environ["PATH"], **places, **settings}
    with (
        (root / "stderr").open("wb") as stderr,
        subprocess.Popen(arguments, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        try:
            assert process.stdout is not None
            address = httpx.Response(200, content=process.stdout.readline()).json()["address"]
            with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
                if wait:
                    _wait_ready(client)
                yield Program(root, client)
        finally:
            process.terminate()


def _wait_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_S
    while client.get("/readyz").status_code != httpx.codes.OK:
        if time.monotonic() > deadline:
            raise TimeoutError("it did not become ready")
        time.sleep(0.05)
