"""What goes to the engine workers, and what is asked of the databases."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from app.faces.workers.process import WorkerProcess
from app.vault.register import DESTROYED
from app.vault.vault import Vault


def watch_pipe(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that every frame with an image is added to, as it goes into a worker's pipe."""
    sent: list[bytes] = []
    send = WorkerProcess._send

    def spy(self: WorkerProcess, raw: bytes, deadline: float) -> None:
        if b'"ask"' in raw[:200]:
            sent.append(raw)
        send(self, raw, deadline)

    monkeypatch.setattr(WorkerProcess, "_send", spy)
    return sent


def engines(vault: Vault) -> list[Engine]:
    """Return the four engines through which the two databases are reached."""
    stores = (vault.data, vault.register.store)
    return [engine for store in stores for engine in (store.reader, store.writer)]


@contextmanager
def statements(vault: Vault) -> Iterator[list[str]]:
    """Record the text of every statement sent to either database, but not those of the threads beside requests."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if threading.current_thread().name not in {"sweep", "batch", "callbacks", "delivery", "renewal"}:
            seen.append(statement)

    for engine in engines(vault):
        event.listen(engine, "before_cursor_execute", note)
    yield seen
    for engine in engines(vault):
        event.remove(engine, "before_cursor_execute", note)


def everything(vault: Vault) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table of both databases."""
    found = {}
    for store in (vault.data, vault.register.store):
        with store.read() as session:
            tables = session.scalars(text("SELECT name FROM sqlite_master WHERE type = 'table'")).all()
            for table in tables:
                rows = session.execute(text(f'SELECT * FROM "{table}"'))  # noqa: S608 - the names are our own
                found[f"{store.path.stem}.{table}"] = sorted(map(tuple, rows), key=repr)
    # When a batch of the log was last due changes with the clock, and nothing else.
    found["register.log_heads"] = [row[:3] for row in found["register.log_heads"]]
    # Where a key was destroyed there are zeros: nothing is held there.
    found["register.keys"] = [row for row in found["register.keys"] if DESTROYED not in row]
    return found


def noted(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> int | None:
    """Return how many refusals were noted in the log between two looks at everything; None if anything else changed."""
    log = {"mien.entries", "mien.pending_leaves"}
    # That a relying party failed with a reference is counted too.
    apart = {*log, "mien.failed_references"}
    if {name: rows for name, rows in before.items() if name not in apart} != {
        name: rows for name, rows in after.items() if name not in apart
    }:
        return None
    kept = all(set(map(repr, before[name])) <= set(map(repr, after[name])) for name in log)
    return len(after["mien.pending_leaves"]) - len(before["mien.pending_leaves"]) if kept else None


def count(vault: Vault, table: str) -> int:
    """Return how many rows a table of the data store has."""
    return len(everything(vault)[f"mien.{table}"])


def change_row(vault: Vault, statement: str, **values: object) -> None:
    """Change the data store behind the service's back."""
    with vault.data.write() as session:
        session.execute(text(statement), values)
