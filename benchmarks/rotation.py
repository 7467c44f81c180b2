"""The time of a rotation of the key-encryption key by the number of keys, and how long an ending waits meanwhile.

    .venv/bin/python -m benchmarks.rotation [KEYS …]

The keys are rows written directly, a tenth of them destroyed. Meanwhile a thread ends grants, one every 50 ms: their
keys are destroyed in the same register.
"""

import secrets
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from uuid import uuid4

from sqlalchemy import insert

from app.kit.clock import utc_now
from app.settings import MIB, Settings
from app.startup import Run, prepare
from app.vault.open import open_vault
from app.vault.register import DESTROYED, Ended, Owner, Register, key_context
from app.vault.rotation import rotate
from app.vault.tables import EndedKind, KeySlot
from benchmarks.report import machine, say, table

KEYS: Final = (1_000, 100_000)
AT_ONCE: Final = 10_000
PAUSE_S: Final = 0.05
"""Seconds between two endings."""


def fill(register: Register, keys: int) -> None:
    """Write so many keys."""
    kek = register.keks.first
    for start in range(0, keys, AT_ONCE):
        slots = []
        for number in range(start, min(start + AT_ONCE, keys)):
            owner = secrets.token_bytes(32)
            wrapped = DESTROYED if number % 10 == 0 else kek.wrap_new(key_context(owner, 1))
            slots.append({"owner": owner, "generation": 1, "kek_id": kek.id, "wrapped": wrapped})
        with register.store.write() as session:
            session.execute(insert(KeySlot), slots)
    register.store.checkpoint()


@contextmanager
def endings(register: Register) -> Iterator[list[float]]:
    """End grants in another thread during the block, and give the milliseconds that each ending took."""
    stopped, waits = threading.Event(), []

    def end() -> None:
        while not stopped.wait(PAUSE_S):
            grant = Owner.grant(uuid4())
            register.issue(grant)
            began = time.perf_counter()
            register.end([Ended(EndedKind.GRANT, grant.id, "withdrawn", utc_now().date())])
            waits.append(1000 * (time.perf_counter() - began))

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield waits
    finally:
        stopped.set()
        thread.join()


def measure(keys: int) -> list[str]:
    """Rotate once, and return a line of the table."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(data_dir=Path(directory, "data"), keys_dir=Path(directory, "keys"))
        vault = open_vault(settings)
        prepare(vault, settings, Run.MIGRATE)
        register = vault.register
        fill(register, keys)
        size = register.store.bytes() / MIB
        with endings(register) as waits:
            began, computed = time.perf_counter(), time.process_time()
            done = rotate(register)
            took, computed = time.perf_counter() - began, time.process_time() - computed
        vault.data.close()
        register.store.close()
    waited = f"{statistics.median(waits):.0f} / {max(waits):.0f} ({len(waits)})" if waits else "-"
    return [f"{keys:,}", f"{size:.1f}", f"{done.keys_rewrapped:,}", f"{took:.1f}", f"{computed:.1f}", waited]


def main(numbers: Sequence[int]) -> None:
    """Measure each number of keys."""
    say(machine())
    heads = ["keys", "MiB", "wrapped anew", "s", "s of processor", "an ending meanwhile, ms: median / most (number)"]
    table(heads, [measure(keys) for keys in numbers])


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or KEYS)
