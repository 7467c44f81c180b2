"""Wait for the effect of work in other threads or processes."""

import time
from collections.abc import Callable

PATIENCE_S = 120.0


def wait_until(holds: Callable[[], object], *, within_s: float = PATIENCE_S) -> None:
    """Wait until the condition holds; fail the test if it does not come to hold in time."""
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.02)
