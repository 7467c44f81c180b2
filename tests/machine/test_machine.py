"""A state machine sends requests and commands to a service in any order, and checks the laws after each.

Every run of the tests takes the same short walks. `make machine` takes more and longer ones.
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
from tests.machine.store_harness import ProcessLauncher

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("MIEN_MACHINE_EXAMPLES", "0"))
"""Number of walks of `make machine`; 0 takes the short ones of every run."""
STEPS = int(os.environ.get("MIEN_MACHINE_STEPS", "40"))
"""The most steps of each walk."""
SMALLER = os.environ.get("MIEN_MACHINE_SHRINK", "1") == "1"
"""Whether to make a failure smaller, which takes minutes."""

EASY = settings(deadline=None, suppress_health_check=list(HealthCheck))
"""A step forks processes, so its duration has no meaning."""
SHORT = settings(EASY, max_examples=8, stateful_step_count=20, derandomize=True, database=None, phases=[Phase.generate])
LONG = settings(
    EASY,
    max_examples=EXAMPLES or 1,
    stateful_step_count=STEPS,
    phases=[Phase.reuse, Phase.generate, *([Phase.shrink] if SMALLER else [])],
)


@pytest.mark.timeout(0 if EXAMPLES else 1200)
def test_the_laws_hold_after_any_acts_in_any_order(
    launcher: ProcessLauncher, populated: tuple[Path, Data], place: Path
) -> None:
    populated_root, data = populated
    numbers = count()

    class Here(Machine):
        def __init__(self) -> None:
            super().__init__(launcher, populated_root, deepcopy(data), place / str(next(numbers)))

    run_state_machine_as_test(Here, settings=LONG if EXAMPLES else SHORT)
