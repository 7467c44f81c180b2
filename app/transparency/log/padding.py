"""Padding: random leaves in each batch, so that its size hides the number of acts.

First a random number of leaves is added, which hides the count even from an observer who knows all other leaves of the
batch. Then the batch is filled up to a multiple, so that quiet batches look alike.

The random number is *centre* plus the difference of two geometric numbers, and at least 0: the two-sided geometric
mechanism (Ghosh, Roughgarden and Sundararajan, 2009). One act more or less changes the probability of any size by at
most the factor 1 / alpha. The exception are draws below 0, about one batch in eighty.
"""

import math
import secrets
from collections.abc import Sequence
from random import Random

from app.transparency.log import tiles

CHANCE = secrets.SystemRandom()

ALPHA_TO_CENTRE = 0.03
"""alpha ** centre. It determines how rarely a draw is below 0."""


def pad(leaves: Sequence[bytes], *, multiple: int, noise: int) -> list[bytes]:
    """Return the leaves of a batch in random order, with random leaves that look like the others.

    Args:
        leaves: the leaves of acts.
        multiple: fill the batch up to a multiple of this; 1 adds none.
        noise: the mean number of random leaves that are added first; 0 adds none.
    """
    least = len(leaves) + (draw_padding(noise, chance=CHANCE) if noise else 0)
    size = multiple * max(1, -(-least // multiple)) if multiple > 1 else least
    padded = [*leaves, *(secrets.token_bytes(tiles.HASH_BYTES) for _ in range(size - len(leaves)))]
    CHANCE.shuffle(padded)
    return padded


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
