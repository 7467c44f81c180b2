"""The service in a process of its own, on a free port, with all its files under one temporary directory."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

import httpx

from app.demo.command_line import HOST, environment, run_mien

READY_S = 120.0
"""Seconds until the service must be ready; a cold disk reads the engine's weights slowly."""
LOG_INTERVAL_S = 2
"""Seconds between batches of the transparency log. The default, ten minutes, reveals less about the time of an act."""
STOP_S = 40.0
"""Seconds until the service must have stopped; it gives open requests 30."""
SHOWN_LINES = 6
"""Lines of the application log that are shown after an error."""


class ServiceError(Exception):
    """The service did not start, or one of its commands failed."""


class ServiceProcess:
    """One service with an empty register and an empty data directory; a context manager.

    Args:
        keep: whether the files are kept at the end.
        settings: by the names of their environment variables.
    """

    def __init__(self, *, keep: bool, settings: Mapping[str, str] | None = None) -> None:
        self._keep = keep
        self._more_settings = settings or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._handler: Any = None
        self.root = Path(tempfile.mkdtemp(prefix="mien-demo-"))
        """Holds all files of the service: data, keys, temporary files, application log."""
        self.kept_at = self.root.with_name(f"{self.root.name}-kept")
        self.log = self.root / "service.log"
        self.url = f"http://{HOST}:{_free_port()}"

    def __enter__(self) -> Self:
        """Return the service; `start` starts it."""
        # Only the main thread may handle signals.
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, _exit)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the service and remove its files, also after an error."""
        self.stop()
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    def start(self) -> None:
        """Start the service, without waiting for it."""
        port = self.url.rpartition(":")[2]
        # In its own session: Ctrl-C reaches the demo only, which then stops the service and its workers.
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "app", "serve", "--host", HOST, "--port", port],
                env=environment(self._settings()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, on_wait: Callable[[float], None] = lambda _seconds: None) -> dict[str, Any]:
        """Wait until the service is ready, and return its answer at `/readyz`.

        Args:
            on_wait: called again and again with the seconds so far.

        Raises:
            ServiceError: it ended, or was not ready in time.
        """
        start = time.monotonic()
        while (seconds := time.monotonic() - start) < READY_S:
            if self._process is None or self._process.poll() is not None:
                msg = "the service ended before it was ready"
                raise ServiceError(msg)
            on_wait(seconds)
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
                if answer.is_success:
                    ready: dict[str, Any] = answer.json()
                    return ready
            time.sleep(0.1)
        msg = f"the service was not ready after {READY_S:.0f} seconds"
        raise ServiceError(msg)

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one command of the operator beside the service, and return the object that it prints.

        Raises:
            ServiceError: it was refused.
        """
        done = run_mien(*arguments, settings=self._settings())
        if done.code != 0:
            msg = f"exit {done.code}: {done.error}"
            raise ServiceError(msg)
        return done.output

    def stop(self) -> int | None:
        """Stop the service, and return its exit code; None if it does not run or does not stop in time."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.terminate()
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # The session may still have the service, if it hangs, or a worker.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def remove_files(self) -> None:
        """Remove all files of the service; if they are to be kept, move them to `kept_at`."""
        if self._keep:
            self.root.rename(self.kept_at)
        else:
            shutil.rmtree(self.root)

    def log_tail(self) -> str:
        """Return the last lines of the application log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])

    def _settings(self) -> dict[str, str]:
        variables = {"MIEN_DATA_DIR": "data", "MIEN_KEYS_DIR": "keys", "TMPDIR": "tmp"}
        for name in variables.values():
            # The service refuses a register that others may read.
            (self.root / name).mkdir(mode=0o700, exist_ok=True)
        places = {variable: str(self.root / name) for variable, name in variables.items()}
        # The demonstration searches every byte; that of the space kept for endings would take minutes.
        usual = {"MIEN_LOG_INTERVAL": str(LOG_INTERVAL_S), "MIEN_ENDING_BALLAST_MIB": "1"}
        return {**places, **usual, **self._more_settings}


def _exit(number: int, _frame: object) -> NoReturn:
    """Exit with the shell's code for a signal; every `with` block ends, so that no process is left."""
    sys.exit(128 + number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
