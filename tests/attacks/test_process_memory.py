"""A worker that a picture took over reads no memory of the service, and `live` waits for the whole sandbox."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.faces.workers import sandbox
from tests.architecture.source import ROOT
from tests.attacks import own_process
from tests.support.launcher import run_here, run_program
from tests.support.waiting import wait_until

WITHOUT_FILTERS = """
import errno, os, pyseccomp, sys
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.ERRNO(errno.EINVAL), "seccomp")
rules.add_rule(pyseccomp.ERRNO(errno.EINVAL), "prctl", pyseccomp.Arg(0, pyseccomp.EQ, 22))
rules.load()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Starts a program on a machine whose kernel has no system call filters."""
ON_SUCH_A_MACHINE = (sys.executable, "-c", WITHOUT_FILTERS)
needs_filter = pytest.mark.skipif(not sandbox.has_seccomp(), reason="this machine has no libseccomp")


def read_by_worker(protection: str, how: str) -> str:
    """Let a child read the secret of its parent; returns the bytes that it got."""
    command = [sys.executable, "-m", "tests.attacks.own_process", protection, how]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.service
def test_without_a_filter_a_worker_reads_nothing_of_its_parent() -> None:
    assert read_by_worker("leave", "free") == own_process.SECRET.decode(), "the attack itself works"
    assert read_by_worker("protect", "sandbox") == ""


@needs_filter
@pytest.mark.service
def test_live_is_not_ready_where_the_sandbox_is_reduced(root: Path) -> None:
    settings = {"MIEN_PROFILE": "live", "MIEN_ENGINE_WORKERS": "1"}
    with run_program(root, under=ON_SUCH_A_MACHINE, wait=False, **settings) as running:
        wait_until(lambda: running.client.get("/readyz").json()["engine_workers"] == 1)
        answer = running.client.get("/readyz")
        ready = answer.json()

    assert (answer.status_code, ready["sandbox"]) == (503, {"level": "reduced", "missing": ["system_call_filter"]})
    (reason,) = [one for one in ready["reasons"] if "sandbox" in one]
    assert "lacks system_call_filter; install libseccomp" in reason


@needs_filter
@pytest.mark.service
def test_live_check_tries_the_sandbox_of_this_machine(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run_here(root, "live-check").stdout
    command = [*ON_SUCH_A_MACHINE, sys.executable, "-m", "app", "live-check"]
    monkeypatch.setenv("MIEN_DATA_DIR", str(root / "data"))
    monkeypatch.setenv("MIEN_KEYS_DIR", str(root / "keys"))
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "ok       sandbox of the workers: full" in here
    assert "ok       memory of the service: closed" in here
    assert "MISSING  sandbox of the workers: lacks system_call_filter" in there
