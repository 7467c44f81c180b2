"""The time of a rotation of the key-encryption key, by the number of keys.

    .venv/bin/python -m benchmarks.rotation [KEYS …]

The keys are rows written directly, a tenth of them destroyed. No other program uses the register meanwhile.
"""

import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import insert

from app.settings import MIB, Settings
from app.startup import Run, prepare
from app.vault.open import open_vault
from app.vault.register import DESTROYED, Register, key_context
from app.vault.rotation import rotate
from app.vault.tables import KeySlot
from benchmarks.report import machine, say, table

KEYS: Final = (1_000, 100_000)
AT_ONCE: Final = 10_000


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


def measure(keys: int) -> list[str]:
    """Rotate once, and return a line of the table."""
    with tempfile.TemporaryDirectory() as directory:
        settings = Settings(data_dir=Path(directory, "data"), keys_dir=Path(directory, "keys"))
        vault = open_vault(settings)
        prepare(vault, settings, Run.MIGRATE)
        register = vault.register
        fill(register, keys)
        size, began = register.store.bytes() / MIB, time.perf_counter()
        done = rotate(register)
        took = time.perf_counter() - began
        vault.data.close()
        register.store.close()
    return [f"{keys:,}", f"{size:.1f}", f"{done.keys_rewrapped:,}", f"{took:.1f}", f"{keys / took:,.0f}"]


def main(numbers: Sequence[int]) -> None:
    """Measure each number of keys."""
    say(machine())
    table(["keys", "MiB", "wrapped anew", "s", "keys a second"], [measure(keys) for keys in numbers])


if __name__ == "__main__":
    main([int(number) for number in sys.argv[1:]] or KEYS)
