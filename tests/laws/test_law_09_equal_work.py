"""Law 9: a reference that may not be used costs the same work for every reason, counted in steps of SQLite.

Steps do not depend on the machine. A benchmark measures times: `benchmarks/refusal_timing.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.faces.permit import Purpose
from app.transparency.log import batch
from app.vault.vault import Vault
from tests.laws.test_law_09_one_answer import unusable
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card

BOTH = (Purpose.VERIFICATION, Purpose.IDENTIFICATION)
TOLERANCE = 12
"""Steps by which two reasons may differ: a test of a value jumps or does not, and the last row has no row after it."""


@contextmanager
def counted_steps(vault: Vault) -> Iterator[dict[str, int]]:
    """Count the steps of SQLite's virtual machine in the block, by store and kind of connection."""
    steps: dict[str, int] = {}
    engines = {
        f"{store.name} {kind}": getattr(store, kind)
        for store in (vault.data, vault.register.store)
        for kind in ("reader", "writer")
    }

    def listener(name: str) -> Any:
        def count() -> int:
            steps[name] = steps.get(name, 0) + 1
            return 0

        return lambda connection, _record, _proxy: connection.set_progress_handler(count, 1)

    listeners = [(engine, listener(name)) for name, engine in engines.items()]
    for engine, listen in listeners:
        event.listen(engine, "checkout", listen)
    try:
        yield steps
    finally:
        for engine, listen in listeners:
            event.remove(engine, "checkout", listen)
            engine.dispose()


@pytest.fixture
def service(root: Path, pool: SharedPool) -> Iterator[RunningService]:
    """A service that does not block a party that tries as many references as here."""
    with serving(root, pool, toy_card(), background=False, failed_references=1000) as running:
        yield running


def test_every_reason_costs_the_same_steps(service: RunningService) -> None:
    door = service.party("Door", *BOTH)
    # A damaged template is no act of a person, and the operator's log tells of it.
    references = {name: ref for name, ref in unusable(service, door) if name != "damaged"}
    service.clock.advance(hours=2)
    batch.append_batch(service.vault, settings=service.settings, now=service.clock(), at_once=True)
    counts: dict[str, dict[str, int]] = {}

    # The first round fills the row of the door's failures, so that each later request finds the same. The cheaper of
    # two later rounds counts: other work of the process may fall into one.
    for turn in range(3):
        for name, reference in references.items():
            with counted_steps(service.vault) as steps:
                assert door.verify(reference, b"").status_code == 404
            if turn <= 1 or steps["mien reader"] < counts[name]["mien reader"]:
                counts[name] = dict(steps)

    deciding = {name: steps.pop("mien reader") for name, steps in counts.items()}
    assert len({tuple(sorted(steps.items())) for steps in counts.values()}) == 1, counts
    assert min(deciding.values()) > 100, "the steps were counted"
    assert max(deciding.values()) - min(deciding.values()) <= TOLERANCE, deciding
