"""`mien serve --processes N`: one address, processes that are started again, and one end for all."""

import os
import signal
from pathlib import Path

import psutil

from tests.support.launcher import refused, run_command, run_program
from tests.support.waiting import wait_until


def serving_processes(parent: int) -> list[psutil.Process]:
    """Return the processes that the parent has started."""
    return [child for child in psutil.Process(parent).children() if child.status() != psutil.STATUS_ZOMBIE]


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_sqlite_data_has_one_process(root: Path) -> None:
    refusal = run_command(root, "serve", "--port", "0", "--processes", "2")

    assert refused(refusal, "SQLite data can have only one process; several need PostgreSQL"), refusal.stderr


def test_a_killed_process_is_started_again_and_all_stop_together(tmp_path: Path, postgres: dict[str, str]) -> None:
    with run_program(tmp_path, wait=True, processes="2", **postgres) as service:
        first, second = serving_processes(service.process.pid)
        first.kill()
        wait_until(lambda: len(serving_processes(service.process.pid)) == 2)

        assert second in serving_processes(service.process.pid)
        assert service.client.get("/livez").is_success
        assert service.client.get("/metrics").status_code == 404
        assert service.stop() == 0
        assert service.process.stdout is not None
        assert service.process.stdout.read() == b"", "one address"


def test_processes_end_with_their_parent(tmp_path: Path, postgres: dict[str, str]) -> None:
    with run_program(tmp_path, wait=False, processes="2", **postgres) as service:
        children = serving_processes(service.process.pid)
        service.kill()

        wait_until(lambda: all(map(is_gone, children)))


def test_a_start_that_fails_ends_all_with_its_reason(tmp_path: Path, postgres: dict[str, str]) -> None:
    away = {**postgres, "MIEN_DATABASE_URL": f"postgresql://mien@/mien?host={tmp_path}"}
    failed = run_command(tmp_path, "serve", "--port", "0", "--processes", "2", **away)

    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.startswith("mien: ")


def test_an_interrupt_of_the_terminal_ends_all_in_order(tmp_path: Path, postgres: dict[str, str]) -> None:
    with run_program(tmp_path, wait=False, processes="2", **postgres) as service:
        children = serving_processes(service.process.pid)
        # A terminal sends it to each process.
        for pid in (*(child.pid for child in children), service.process.pid):
            os.kill(pid, signal.SIGINT)

        assert service.process.wait(60) == 0
        assert all(map(is_gone, children))
