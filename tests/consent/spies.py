"""Spies on the pipes to the engine workers and on the databases."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event, text, update

from app.faces.workers.process import WorkerProcess
from app.vault.authentic_rows import AuthenticRow, sign_older
from app.vault.register import DESTROYED
from app.vault.vault import Vault


def watch_pipe(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return a list that receives every frame with an image sent to a worker."""
    sent: list[bytes] = []
    send = WorkerProcess._send

    def spy(self: WorkerProcess, raw: bytes, deadline: float) -> None:
        if b'"ask"' in raw[:200]:
            sent.append(raw)
        send(self, raw, deadline)

    monkeypatch.setattr(WorkerProcess, "_send", spy)
    return sent


def engines(vault: Vault) -> list[Engine]:
    """Return the four SQLAlchemy engines of the two databases."""
    stores = (vault.data, vault.register.store)
    return [engine for store in stores for engine in (store.reader, store.writer)]


@contextmanager
def statements(vault: Vault) -> Iterator[list[str]]:
    """Record every statement sent to either database, except by jobs beside the requests."""
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
                found[f"{store.name}.{table}"] = sorted(map(tuple, rows), key=repr)
    # The time of the last batch of the transparency log changes with the clock.
    found["register.log_heads"] = [row[:3] for row in found["register.log_heads"]]
    # The slots of destroyed keys hold zeros.
    found["register.keys"] = [row for row in found["register.keys"] if DESTROYED not in row]
    return found


def count_recorded_refusals(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> int | None:
    """Return how many refusals the transparency log recorded between two results of `everything`.

    Returns None if anything else changed.
    """
    log = {"mien.entries", "mien.pending_leaves"}
    # Failed references of a relying party are counted too.
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


def sign_all(vault: Vault) -> None:
    """Give every row the code that the service would give it."""
    with vault.data.write() as session:
        for row in AuthenticRow.__subclasses__():
            session.execute(update(row).values(mac=None))
        sign_older(session)


def change_row(vault: Vault, statement: str, **values: object) -> None:
    """Change the data store without the service, as if the service had done so."""
    with vault.data.write() as session:
        session.execute(text(statement), values)
    sign_all(vault)
