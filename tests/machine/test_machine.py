"""Anything, in any order: a machine does to a service what may happen to it, and holds it against the laws.

A short walk, always the same, is part of every run of the tests. `make machine` walks on for as long as one likes.
"""

import os
from copy import deepcopy
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Machine
from tests.machine.model import Data
from tests.machine.store_harness import Nursery

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("MIEN_MACHINE_EXAMPLES", "0"))
"""How many walks `make machine` takes; 0 for the short ones of every run."""
STEPS = int(os.environ.get("MIEN_MACHINE_STEPS", "40"))
"""How long each of them is at most."""
SMALLER = os.environ.get("MIEN_MACHINE_SHRINK", "1") == "1"
"""Whether to make a failure smaller, which takes minutes."""

EASY = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""A step forks processes: how long it takes says nothing."""
SHORT = settings(EASY, max_examples=8, stateful_step_count=20, derandomize=True, database=None, phases=[Phase.generate])
LONG = settings(
    EASY,
    max_examples=EXAMPLES or 1,
    stateful_step_count=STEPS,
    phases=[Phase.reuse, Phase.generate, *([Phase.shrink] if SMALLER else [])],
)


@pytest.mark.timeout(0 if EXAMPLES else 300)
def test_whatever_happens_in_whatever_order_the_laws_hold(
    nursery: Nursery, furnished: tuple[Path, Data], place: Path
) -> None:
    house, data = furnished
    numbers = count()

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(nursery, house, deepcopy(data), place / str(next(numbers)))

    run_state_machine_as_test(Here, settings=LONG if EXAMPLES else SHORT)
