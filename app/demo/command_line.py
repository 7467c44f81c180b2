"""The command `mien` as others have it: in an empty directory, without a setting, and, where it can be, offline."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

PROGRAM = Path(str(files("app"))).parent
"""Where the program lies; nothing that a service wrote is there."""
OFFLINE: Sequence[Sequence[str]] = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))
"""Ways to run a command with no network at all, for root and for others; not every machine permits one."""
COMMAND_S = 60.0
REACH = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended, and the object that it printed."""

    code: int
    printed: dict[str, Any]
    trouble: str


def mien(*arguments: str, behind: Sequence[str] = ()) -> Done:
    """Run one command of `mien` where nothing of the service is; *behind* is what takes its network away."""
    with tempfile.TemporaryDirectory(prefix="mien-demo-empty-") as empty:
        done = _run([*behind, sys.executable, "-m", "app", *arguments, "--json"], empty)
    with contextlib.suppress(ValueError):
        return Done(done.returncode, json.loads(done.stdout), done.stderr.strip())
    return Done(done.returncode, {}, (done.stderr or done.stdout).strip()[-400:])


def offline() -> Sequence[str]:
    """Return what a command is put behind to have no network; nothing where the machine does not permit it."""
    for way in OFFLINE:
        # That it may be used is not enough: a stand-in could just run the command.
        if _permitted(way) and not reaches_us(way):
            return way
    return ()


def _permitted(way: Sequence[str]) -> bool:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return _run([*way, "true"], PROGRAM).returncode == 0
    return False


def reaches_us(behind: Sequence[str]) -> bool:
    """Say whether a process behind *behind* can open a connection to this one."""
    with socket.create_server((HOST, 0)) as listening:
        port = str(listening.getsockname()[1])
        return _run([*behind, sys.executable, "-I", "-c", REACH, HOST, port], PROGRAM).returncode == 0


def _run(command: Sequence[str], directory: str | Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    return subprocess.run(  # noqa: S603 - our own program
        command,
        cwd=directory,
        env={**kept, "PYTHONPATH": str(PROGRAM)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
