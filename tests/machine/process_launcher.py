"""A process that forks services and commands: `python -m tests.machine.process_launcher`.

Each order and each answer is one line of JSON. The process has imported the program and has no threads, so that a fork
is a fresh service within milliseconds. A service reads the time from a file, and is killed at the step that another
file names (`app.kit.crash_points`).
"""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn

import app.cli.notices
import app.cli.program
import app.jobs.maintenance
import app.jobs.scheduler
import app.main
from app.cli.program import COMMANDS, load_command
from app.jobs import maintenance
from app.kit import clock, crash_points
from app.transparency.log import batch
from app.vault.open import open_vault
from tests.support.service_fixture import ToyPool, settings_for
from tests.support.toy_engine import toy_card

NOW, DIE, DIED = "now", "die", "died"
"""Files that control a process: the time, the number of steps until it is killed, and the step at which it died."""
A_DAY_S = 24 * 3600
UNHINDERED = {
    "free_failures": 100,
    "failures_per_day": 1000,
    "failed_references": 10_000,
    "unusable_repeats": 10_000,
}
"""Settings without waits after failed comparisons, because a walk has its own clock."""


def live_by(how: Path) -> clock.Clock:
    """Let the files in *how* control this process. Returns the clock."""
    lock = threading.Lock()

    def now() -> datetime:
        return datetime.fromisoformat((how / NOW).read_text())

    def watch(operation: str, step: str) -> None:
        with lock, suppress(FileNotFoundError):
            left = int((how / DIE).read_text()) - 1
            (how / DIE).write_text(str(left))
            if left == 0:
                (how / DIED).write_text(f"{operation}: {step}")
                os.kill(os.getpid(), signal.SIGKILL)

    crash_points.watcher = watch
    # Commands are loaded late; one that is loaded now gets this clock too.
    for name in COMMANDS:
        load_command(name)
    for module in list(sys.modules.values()):
        if getattr(module, "utc_now", None) is clock.utc_now and module is not clock:
            vars(module)["utc_now"] = now
    return now


def serve(root: Path, how: Path, say: Callable[[object], None]) -> None:
    """Serve from *root*. Sends the port after the first maintenance run and the first batch.

    Both run only once, at the start: later runs beside requests would make two walks differ.
    """
    file_clock = live_by(how)
    vars(app.jobs.maintenance)["run_maintenance"], maintained = _noticed(maintenance.run_maintenance)
    vars(batch)["append_batch"], batched = _noticed(batch.append_batch)
    vars(app.jobs.scheduler)["POLL_S"] = A_DAY_S
    settings = settings_for(root, sweep_interval_s=A_DAY_S, log_interval=A_DAY_S, **UNHINDERED)
    service = app.main.create_app(settings, open_vault(settings), (ToyPool(), toy_card()), clock=file_clock)
    config = uvicorn.Config(service, host="127.0.0.1", port=0, log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)

    def announce() -> None:
        maintained.wait()
        batched.wait()
        while not server.started:
            threading.Event().wait(0.002)
        say({"pid": os.getpid(), "port": server.servers[0].sockets[0].getsockname()[1]})

    threading.Thread(target=announce, daemon=True).start()
    server.run()


def _noticed(work: Callable[..., Any]) -> tuple[Callable[..., Any], threading.Event]:
    """Return *work*, and an event that is set after its first call."""
    done = threading.Event()

    def noticed(*given: Any, **named: Any) -> Any:
        try:
            return work(*given, **named)
        finally:
            done.set()

    return noticed, done


def command(root: Path, how: Path, argv: Sequence[str]) -> int:
    """Run one command of the operator."""
    live_by(how)
    # A notice is filled with the facts of the service's engine.
    vars(app.cli.notices)["select_card"] = lambda _settings: toy_card()
    os.environ.update(MIEN_DATA_DIR=str(root / "data"), MIEN_KEYS_DIR=str(root / "keys"))
    try:
        app.cli.program.app([*argv, "--json"], prog_name="mien")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def fork_child(work: Callable[[Callable[[object], None]], int | None], log: Path) -> tuple[int, str]:
    """Fork a child that does *work*. Returns its process id and the first line that it sent; empty if it died."""
    read, write = os.pipe()
    if (child := os.fork()) != 0:
        os.close(write)
        with os.fdopen(read, encoding="utf-8") as said:
            return child, said.readline()
    code = 70
    try:
        os.close(read)
        logged = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        os.dup2(logged, 1)
        os.dup2(logged, 2)
        with os.fdopen(write, "w", encoding="utf-8", buffering=1) as saying:
            code = work(lambda answer: print(json.dumps(answer), file=saying)) or 0
    finally:
        os._exit(code)


def handle(order: dict[str, Any]) -> dict[str, Any]:
    """Carry out one order. Returns its result."""
    if "end" in order:
        with suppress(ProcessLookupError):
            os.kill(order["end"], order["by"])
        return {"code": os.waitstatus_to_exitcode(os.waitpid(order["end"], 0)[1])}
    root, how = Path(order["root"]), Path(order["how"])
    if "command" in order:
        printed = how / "printed"
        printed.unlink(missing_ok=True)
        child, _ = fork_child(lambda _say: command(root, how, order["command"]), printed)
        return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), "printed": printed.read_text()}
    child, said = fork_child(lambda say: serve(root, how, say), how / "log")
    if said:
        return dict(json.loads(said))
    return {"code": os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}


def main() -> None:
    """Handle orders until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(handle(json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
