"""The rules of telling relying parties, pure: what they are told, how long it is tried, and how often."""

from datetime import date, timedelta
from enum import StrEnum

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=4)
"""At most half as much again goes by between two tries."""


class CallbackEvent(StrEnum):
    """All that a relying party is ever told of a consent: never why."""

    GIVEN = "given"
    ENDED = "ended"


class DeliveryState(StrEnum):
    """What came of telling one relying party of one event."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    """It answered with 2xx."""
    FAILED = "failed"
    """It did not for days, and is not told any more."""
    OVERTAKEN = "overtaken"
    """It had not when a later event about the same took this one's place: nobody is told what is true no more."""


def wait_after(tries: int, *, chance: float) -> timedelta:
    """Return how long to wait after so many tries without success (1 and up): twice as long each time.

    Args:
        chance: from 0 to 1, so that not everybody comes back at once.
    """
    doubled = FIRST_WAIT * (1 << min(max(tries, 1) - 1, 16))
    return min(doubled, LONGEST_WAIT) * (1 + chance / 2)


def oldest_day_tried(today: date, *, days: int) -> date:
    """Return the day such that what is older is not tried again: a message has its *days*, and the rest of its own."""
    return today - timedelta(days=days)
