"""Whose turn it is: one request's computing does not keep the others waiting."""

import sys

SWITCH_S = 0.0005
"""How long a thread computes before it lets in another that waits. Python's own 5 ms are paid again at each change of
threads, and a request changes several times: beside somebody who asks without a pause it would take tens of them."""


def take_short_turns() -> None:
    """Let all threads of this process change often."""
    sys.setswitchinterval(SWITCH_S)
