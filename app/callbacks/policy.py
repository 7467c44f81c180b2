"""Pure rules of delivery: the events announced, how long a message is tried, and how often."""

from datetime import date, timedelta
from enum import StrEnum

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=4)
"""Longest wait between two tries, before up to half as much again is added at random."""


class CallbackEvent(StrEnum):
    """The event of a consent that a relying party learns; it never learns the reason."""

    GIVEN = "given"
    ENDED = "ended"


class DeliveryState(StrEnum):
    """The state of one delivery."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    """The relying party answered with 2xx."""
    FAILED = "failed"
    """It did not acknowledge the message for days; the message is given up."""
    OVERTAKEN = "overtaken"
    """A later event for the same consent replaced this message."""


def wait_after(tries: int, *, chance: float) -> timedelta:
    """Return how long to wait after so many failed tries (1 and up); the wait doubles each time.

    Args:
        chance: random number from 0 to 1, which spreads the tries of several recipients.
    """
    doubled = FIRST_WAIT * (1 << min(max(tries, 1) - 1, 16))
    return min(doubled, LONGEST_WAIT) * (1 + chance / 2)


def oldest_day_tried(today: date, *, days: int) -> date:
    """Return the day before which messages are given up; the day of the message itself does not count."""
    return today - timedelta(days=days)
