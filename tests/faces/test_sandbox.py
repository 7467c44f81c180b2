"""A compromised worker can do no more than compute."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from app.faces.permit import Permit
from app.faces.workers import sandbox
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.kit.errors import BusyError
from tests.faces import hostile_engine
from tests.faces.conftest import MakePool
from tests.support.toy_faces import toy_photo

_ROOT = Path(__file__).parents[2]
_filter_works = sandbox.has_seccomp()
needs_filter = pytest.mark.skipif(not _filter_works, reason="this machine has no libseccomp")


@needs_filter
def test_each_action_of_a_hostile_engine_is_refused(make_pool: MakePool, permit: Permit) -> None:
    (answer,) = make_pool(engine=hostile_engine.SPEC).measure(permit, [toy_photo(0)])
    assert isinstance(answer, Measurement)
    done = [action for action, outcome in zip(hostile_engine.ACTIONS, answer.vector, strict=False) if outcome]

    assert done == []


@pytest.mark.service
def test_outside_the_sandbox_the_same_actions_succeed() -> None:
    command = [sys.executable, "-m", "tests.faces.hostile_engine"]
    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    done = dict(zip(hostile_engine.ACTIONS, run.stdout.split(), strict=True))

    for action in ("read a file", "make a TCP socket", "fork", "start a thread", "run a program", "spawn a program"):
        assert done[action] == "1"


def test_the_status_reports_whether_the_sandbox_is_full(toy_pool: EnginePool, permit: Permit) -> None:
    toy_pool.measure(permit, [toy_photo(0)])
    status = toy_pool.status()

    assert status.sandbox == ("reduced" if status.missing else "full")
    assert ("system_call_filter" in status.missing) is not _filter_works


@pytest.mark.service
def test_without_the_filter_the_other_protections_hold_and_the_filter_is_reported() -> None:
    script = (
        "import os; from app.faces.workers import sandbox; sandbox.pyseccomp = None;"
        "print(sandbox.enter_sandbox(1 << 30));"
        "os.open('/', os.O_RDONLY)"
    )
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)

    assert run.stdout.strip() == "('system_call_filter',)"
    assert "Too many open files" in run.stderr


def test_a_worker_that_forges_frames_is_ended(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(engine=hostile_engine.FORGING_SPEC)

    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])


def test_a_worker_inherits_no_secret_variable_and_no_open_file(
    make_pool: MakePool, permit: Permit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MIEN_KEY_ENCRYPTION_KEY", "secret")
    with (tmp_path / "register.db").open("w") as register:
        os.set_inheritable(register.fileno(), True)  # noqa: FBT003
        pool = make_pool()
        pool.measure(permit, [toy_photo(0)])
        held = pool._supervisors[0]._worker
        assert held is not None
        worker = psutil.Process(held._process.pid)
        kinds = {Path(f"/proc/{worker.pid}/fd/{name}").readlink().name for name in os.listdir(f"/proc/{worker.pid}/fd")}  # noqa: PTH208

    assert not [name for name in worker.environ() if name.startswith("MIEN")]
    assert "register.db" not in kinds
    assert all(kind == "null" or kind.startswith("pipe:") for kind in kinds)


@pytest.mark.service
def test_a_worker_ends_when_the_service_is_killed() -> None:
    script = (
        "import os, uuid; from app.faces.permit import Permit; from app.faces.workers.pool import EnginePool;"
        "from tests.support import toy_engine as t; from tests.support.toy_faces import toy_photo; import psutil;"
        "p = EnginePool(engine=t.SPEC, card=t.toy_card(), workers=1, queue=1, timeout_s=5, memory_bytes=1 << 30);"
        "p.start(); p.measure(Permit(grant_ids=(uuid.uuid4(),)), [toy_photo(0)]);"
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=_ROOT, capture_output=True, text=True, check=False)
    worker = int(run.stdout)
    deadline = time.monotonic() + 120
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != "zombie" and time.monotonic() < deadline:
        time.sleep(0.02)

    assert not psutil.pid_exists(worker) or psutil.Process(worker).status() == "zombie"
