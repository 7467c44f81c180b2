"""The program itself, under something that makes its disk or its clock lie; started, killed and started again."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from uuid import uuid4

import httpx

from tests.architecture.source import ROOT
from tests.faults.scenario import Town
from tests.support.service_fixture import Party

READY_S = 300
PEOPLE = ROOT / "tests" / "images" / "people"
PHOTOS = {1: "studio_portrait", 2: "amateur_selfie"}
TOOLS = ("fiu-run", "fiu-ctrl", "strace", "faketime")


@dataclass
class Served:
    """A running `mien serve`."""

    root: Path
    process: "subprocess.Popen[bytes]"
    client: httpx.Client

    def town(self) -> Town:
        """Settle people who do everything, with real faces."""
        return Town(self.client, added_party(self.root, self.client), photo).settle()

    def log(self) -> str:
        """Return what it has written to standard error so far."""
        return (self.root / "stderr").read_text("utf-8")

    def fault(self, *commands: str) -> None:
        """Tell libfiu in the process what to fail from now on."""
        arguments = [part for command in commands for part in ("-c", command)]
        subprocess.run(["fiu-ctrl", "-f", str(self.root / "fiu"), *arguments, str(self.process.pid)], check=True)

    def die(self) -> None:
        """End at once, as at a power cut: no goodbye, nothing finished."""
        self.process.kill()
        self.process.wait()


def photo(person: int, variant: int) -> bytes:
    """Return a photo of one of the synthetic people."""
    return (PEOPLE / f"P{person:03}" / f"{PHOTOS[variant]}.jpg").read_bytes()


def _environment(root: Path, settings: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    places = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
    return {**kept, **places, "MIEN_SQLITE_BUSY_S": "2", "MIEN_SWEEP_INTERVAL_S": "0.5", **settings}


def added_party(root: Path, client: httpx.Client) -> Party:
    """Add a relying party, as an operator does."""
    arguments = (
        "relying-party",
        "add",
        f"Door {uuid4()}",
        "--contact",
        "door@example.org",
        "--purpose",
        "verification",
    )
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments, "--alternative", "a key card", "--json"],
        env=_environment(root, {}),
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    printed = httpx.Response(200, content=done.stdout).json()
    return Party(client, printed["relying_party_id"], printed["api_key"])


@contextmanager
def served(root: Path, *under: str, **settings: str) -> Iterator[Served]:
    """Serve from the databases in *root*, started by the command *under*, until the block ends."""
    missing = [tool for tool in TOOLS if which(tool) is None]
    assert not missing, f"not on this machine: {missing}; apt-get install fiu-utils strace faketime"
    with (
        (root / "stderr").open("ab") as stderr,
        subprocess.Popen(
            [*under, sys.executable, "-m", "app", "serve", "--port", "0", "--json"],
            env=_environment(root, settings),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (root / "stderr").read_text("utf-8")
            address = httpx.Response(200, content=line).json()["address"]
            with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
                _wait_ready(client)
                yield Served(root, process, client)
        finally:
            process.terminate()


def under_libfiu(root: Path) -> tuple[str, ...]:
    """Return the command that lets `Served.fault` fail system calls of the process, not of its engine workers."""
    return ("fiu-run", "-x", "-f", str(root / "fiu"))


def _wait_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError("it did not become ready")
