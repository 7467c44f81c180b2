"""Start the program as an operator does: the service or one command, each in a process of its own."""

import atexit
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import httpx
from typer.testing import CliRunner, Result

from app.cli.program import app
from tests.architecture.source import ROOT
from tests.support import command_client
from tests.support.service_fixture import Party, Person

HANG_S = 300
"""Seconds after which a process counts as hanging."""
ADD_PARTY = ("relying-party", "add", "--contact", "door@example.org", "--alternative", "a key card")


@dataclass
class Program:
    """A running `mien serve`.

    Args:
        root: the directory of its data, its keys and its standard error.
    """

    root: Path
    process: subprocess.Popen[bytes]
    client: httpx.Client
    settings: dict[str, str]

    def log(self) -> str:
        """Return its standard error so far."""
        return (self.root / "stderr").read_text("utf-8")

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one command of the operator on the same stores; returns the JSON that it prints."""
        done = run_command(self.root, *arguments, "--json", **self.settings)
        assert done.returncode == 0, done.stderr
        printed: dict[str, Any] = httpx.Response(200, text=done.stdout).json()
        return printed

    def party(self, name: str = "Door") -> Party:
        """Add a relying party that verifies."""
        added = self.command(*ADD_PARTY, name, "--purpose", "verification")
        return Party(self.client, added["relying_party_id"], added["api_key"])

    def person(self, name: str) -> Person:
        """Register a subject."""
        body = self.client.post("/v1/subjects", json={"declared_adult": True, "display_name": name}).json()
        return Person(self.client, body["subject_id"], body["access_token"], body["recovery_code"])

    def stop(self) -> int:
        """Send SIGTERM and wait; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG_S)

    def kill(self) -> None:
        """End the process without a chance to finish anything."""
        self.process.kill()
        self.process.wait()


def environment(root: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a program on the stores in *root*; settings of this process are left out."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    places = {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}
    return {**inherited, **places, **settings}


def _stop(server: subprocess.Popen[bytes], folder: str) -> None:
    server.communicate()
    shutil.rmtree(folder)


@functools.cache
def command_server() -> str:
    """Start the command server for the rest of the run, and return the path of its socket."""
    folder = tempfile.mkdtemp(prefix="mien-commands-")
    path = f"{folder}/socket"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.command_server", path],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    atexit.register(_stop, server, folder)
    assert server.stdout.readline() == b"ready\n"
    return path


def run_command(root: Path, *arguments: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run one command on the stores in *root*, to its end, in a fork of the command server."""
    words = [str(argument) for argument in arguments]
    variables = environment(root, **settings)
    with (
        Path(os.devnull).open() as nothing,
        tempfile.TemporaryFile("w+") as output,
        tempfile.TemporaryFile("w+") as errors,
    ):
        files = [file.fileno() for file in (nothing, output, errors)]
        code = command_client.run(command_server(), words, files=files, environment=variables, timeout=HANG_S)
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(["mien", *words], code, output.read(), errors.read())


_LATE_LOG_LINE = re.compile(rb"(?m)^[0-9: -]{19} \[info +\] request .*\n")
"""The log line of an answered request, from a service in this process; it is no output of a command."""


def run_here(root: Path, *arguments: str | Path, **settings: str) -> Result:
    """Run one command on the stores in *root* in this process, which is faster than `run_command`."""
    # A restore sets SQLITE_TMPDIR if it is not set; it would stay set for later tests.
    variables = {"SQLITE_TMPDIR": gettempdir(), **environment(root, **settings)}
    result = CliRunner(env=variables).invoke(app, list(map(str, arguments)))
    result.stdout_bytes = _LATE_LOG_LINE.sub(b"", result.stdout_bytes)
    result.output_bytes = _LATE_LOG_LINE.sub(b"", result.output_bytes)
    return result


def refused(result: Result | subprocess.CompletedProcess[str], reason: str) -> bool:
    """Return whether a command was refused, in one line on standard error that gives the reason."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    lines = result.stderr.splitlines()
    return (code, result.stdout, len(lines)) == (1, "", 1) and lines[0].startswith("mien: ") and reason in lines[0]


@contextmanager
def run_program(
    root: Path, *, under: Sequence[str] = (), wait: bool = True, processes: str = "1", **settings: str
) -> Iterator[Program]:
    """Serve from the stores in *root* until the end of the block.

    Args:
        root: the directory of the stores; its file `stderr` is continued.
        under: a command that starts the program, such as `strace`.
        wait: whether to wait until the service is ready; if not, the engine may still be starting.
        processes: the number of processes that serve.
        settings: environment variables.
    """
    arguments = ["serve", "--port", "0", "--json", "--processes", processes]
    with (
        (root / "stderr").open("ab") as stderr,
        subprocess.Popen(
            [*under, sys.executable, "-m", "app", *arguments],
            cwd=ROOT,
            env=environment(root, **settings),
            stdout=subprocess.PIPE,
            stderr=stderr,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (root / "stderr").read_text("utf-8")
            address = httpx.Response(200, content=line).json()["address"]
            with httpx.Client(base_url=address, timeout=HANG_S, trust_env=False) as client:
                if wait:
                    _wait_until_ready(client)
                yield Program(root, process, client, settings)
        finally:
            process.terminate()


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the service did not become ready")
