"""The command `mien` as outsiders run it: in an empty directory, without settings and, where possible, offline."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

PROGRAM = Path(str(files("app"))).parent
"""Directory of the program; the service writes nothing there."""
OFFLINE: Sequence[Sequence[str]] = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))
"""Commands that run another without a network, for root and for others; not every machine permits one."""
COMMAND_S = 60.0
CONNECT = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class CommandResult:
    """The exit code of a command, the object that it printed, and its error text."""

    code: int
    output: dict[str, Any]
    error: str


def run_mien(*arguments: str, prefix: Sequence[str] = (), settings: Mapping[str, str] | None = None) -> CommandResult:
    """Run one command of `mien` in an empty directory; *prefix* is a command of `OFFLINE`."""
    with tempfile.TemporaryDirectory(prefix="mien-demo-empty-") as empty:
        done = _run([*prefix, sys.executable, "-m", "app", *arguments, "--json"], empty, settings or {})
    with contextlib.suppress(ValueError):
        return CommandResult(done.returncode, json.loads(done.stdout), done.stderr.strip())
    return CommandResult(done.returncode, {}, (done.stderr or done.stdout).strip()[-400:])


def find_offline_prefix() -> Sequence[str]:
    """Return a command of `OFFLINE` that works on this machine, or nothing."""
    for prefix in OFFLINE:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            # A replacement of `unshare` could run the command with the network on, so the exit code is not enough.
            if _run([*prefix, "true"], PROGRAM).returncode == 0 and not can_connect(prefix):
                return prefix
    return ()


def can_connect(prefix: Sequence[str]) -> bool:
    """Return whether a process under *prefix* can open a connection to this one."""
    with socket.create_server((HOST, 0)) as listener:
        port = str(listener.getsockname()[1])
        return _run([*prefix, sys.executable, "-I", "-c", CONNECT, HOST, port], PROGRAM).returncode == 0


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's environment with *settings* in place of the caller's own settings and data."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    return {**inherited, "PYTHONPATH": str(PROGRAM), **settings}


def _run(
    command: Sequence[str], directory: str | Path, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        command,
        cwd=directory,
        env=environment(settings or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
