"""Find out which protections of the sandbox this machine lacks, without a pool of workers."""

import os
import subprocess
import sys
from typing import Final

from app.faces.workers import sandbox
from app.faces.workers.process import ROOT, worker_environment

_TIMEOUT_S: Final = 60.0
_MEMORY_BYTES: Final = 1 << 30


def find_missing_protections() -> tuple[str, ...] | None:
    """Let a process enter the sandbox as a worker does. Return the missing ones, or None if it did not answer."""
    command = [sys.executable, "-s", "-m", "app.faces.workers.sandbox_probe", str(os.getpid())]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, cwd=ROOT, capture_output=True, timeout=_TIMEOUT_S, check=True, env=worker_environment(), text=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return tuple(done.stdout.split())


def _probe(parent: int) -> None:
    orphaned = () if sandbox.die_with_parent(parent) else ("dies_with_parent",)
    sys.stdout.write(" ".join((*orphaned, *sandbox.enter_sandbox(_MEMORY_BYTES))))


if __name__ == "__main__":
    _probe(int(sys.argv[1]))
