"""The service itself: a process of its own on a free port, and all that it writes under one temporary directory."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx

HOST = "127.0.0.1"
READY_S = 120.0
"""Seconds until the service must be ready; a cold disk reads the engine's weights slowly."""
COMMAND_S = 60.0
LOG_INTERVAL_S = 2
"""Seconds between two batches of the log. The default is ten minutes: shorter tells more of when something happened."""
STOP_S = 40.0
"""Seconds that the service gets to stop by itself; it gives requests under way 30."""
TAIL = 6
"""Lines of the log shown when something went wrong."""


class StageError(Exception):
    """The service did not start, or one of its commands failed."""


class Stage:
    """One service with an empty register and an empty data directory; used as a context."""

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self._process: subprocess.Popen[bytes] | None = None
        self._handler: Any = None
        self.root = Path(tempfile.mkdtemp(prefix="mien-demo-"))
        """Holds everything the service writes: data, keys, temporary files, log."""
        self.kept_at = self.root.with_name(f"{self.root.name}-kept")
        """Where it is kept in the end, if it is."""
        self.log = self.root / "service.log"
        self.url = f"http://{HOST}:{_free_port()}"

    def __enter__(self) -> Self:
        """Give the stage; `start` starts the service."""
        # Only the main thread may handle signals.
        if threading.current_thread() is threading.main_thread():
            self._handler = signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop what runs and remove what was written, whatever happened."""
        self.stop()
        if not self._keep:
            shutil.rmtree(self.root, ignore_errors=True)
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)

    def start(self) -> None:
        """Start the service, without waiting for it."""
        port = self.url.rpartition(":")[2]
        # A session of its own: Ctrl-C reaches the demo only, which then stops the service, and its workers go with it.
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-m", "app", "serve", "--host", HOST, "--port", port],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, on_wait: Callable[[float], None] = lambda _seconds: None) -> dict[str, Any]:
        """Wait until the service is ready, and return what it says of itself; *on_wait* gets the seconds gone by.

        Raises:
            StageError: it ended, or was not ready in time.
        """
        began = time.monotonic()
        while (gone := time.monotonic() - began) < READY_S:
            if self._process is None or self._process.poll() is not None:
                msg = "the service ended before it was ready"
                raise StageError(msg)
            on_wait(gone)
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"{self.url}/readyz", timeout=5, trust_env=False)
                if answer.is_success:
                    ready: dict[str, Any] = answer.json()
                    return ready
            time.sleep(0.1)
        msg = f"the service was not ready after {READY_S:.0f} seconds"
        raise StageError(msg)

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one operator's command beside the service, and return the object that it prints.

        Raises:
            StageError: it was refused.
        """
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "app", *arguments, "--json"],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
        if done.returncode != 0:
            msg = f"exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}"
            raise StageError(msg)
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    def stop(self) -> int | None:
        """Ask the service to stop, and return its exit code; none if it does not run. Repeating it is harmless."""
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            process.terminate()
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Whatever is left of its session: itself, if it hangs, or a worker that outlived it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def take_away(self) -> None:
        """Take everything that was written away: out of reach, or, if it is to be kept, to another name."""
        if self._keep:
            self.root.rename(self.kept_at)
        else:
            shutil.rmtree(self.root)

    def log_tail(self) -> str:
        """Return the last lines of the service's log."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-TAIL:])

    def _environment(self) -> dict[str, str]:
        # The caller's own settings stay out: the story is about the defaults, and must not touch the caller's data.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
        places = {
            "MIEN_DATA_DIR": self._place("data"),
            "MIEN_KEYS_DIR": self._place("keys"),
            "TMPDIR": self._place("tmp"),
        }
        return {**kept, **places, "MIEN_LOG_INTERVAL": str(LOG_INTERVAL_S)}

    def _place(self, name: str) -> str:
        # Private, because the service refuses a register that others may read.
        place = self.root / name
        place.mkdir(mode=0o700, exist_ok=True)
        return str(place)


def _leave(number: int, _frame: object) -> NoReturn:
    """Leave by way of every `with`, so that nothing is left running: the shell's code for a signal is 128 and it."""
    sys.exit(128 + number)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
