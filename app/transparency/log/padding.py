"""How many random leaves a batch gets, so that its size does not tell how many acts there were.

The number is *centre* plus the difference of two geometric numbers, and at least 0: the two-sided geometric mechanism
(Ghosh, Roughgarden and Sundararajan, 2009). With it one act more or less makes any size of a batch at most 1 / ALPHA
times as likely, but where the number would be below 0, which happens once in some eighty batches.
"""

import math
from random import Random

BELOW = 0.03
"""What ALPHA ** centre is: how rarely the number would be below 0 follows from it."""


def draw_padding(centre: int, *, chance: Random) -> int:
    """Draw a number; *centre* on average, or hardly more."""
    alpha = compute_alpha(centre)
    return max(0, centre + _geometric(alpha, chance) - _geometric(alpha, chance))


def compute_alpha(centre: int) -> float:
    """Return by how much the odds of a size fall with each step away from the likeliest."""
    return float(BELOW ** (1 / centre))


def _geometric(alpha: float, chance: Random) -> int:
    """Draw k = 0, 1, 2 … with probability (1 - alpha) * alpha ** k."""
    return int(math.log(1.0 - chance.random()) / math.log(alpha))
