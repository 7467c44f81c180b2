"""The number of random leaves in a batch, drawn so that the size of the batch hides the number of acts.

The number is *centre* plus the difference of two geometric numbers, and at least 0: the two-sided geometric mechanism
(Ghosh, Roughgarden and Sundararajan, 2009). One act more or less changes the probability of any size by at most the
factor 1 / alpha. The exception are draws below 0, about one batch in eighty.
"""

import math
from random import Random

ALPHA_TO_CENTRE = 0.03
"""alpha ** centre. It determines how rarely a draw is below 0."""


def draw_padding(centre: int, *, chance: Random) -> int:
    """Draw a number. Its mean is *centre*, or slightly more."""
    alpha = compute_alpha(centre)
    return max(0, centre + _geometric(alpha, chance) - _geometric(alpha, chance))


def compute_alpha(centre: int) -> float:
    """Return the factor by which the probability falls with each step away from *centre*."""
    return float(ALPHA_TO_CENTRE ** (1 / centre))


def _geometric(alpha: float, chance: Random) -> int:
    """Draw k = 0, 1, 2 … with probability (1 - alpha) * alpha ** k."""
    return int(math.log(1.0 - chance.random()) / math.log(alpha))
