"""From a distance to a decision, pure."""

from enum import StrEnum


class Decision(StrEnum):
    """What a relying party learns, and all of it (law 9)."""

    MATCH = "match"
    NO_MATCH = "no_match"


class Liveness(StrEnum):
    """What was done to see that a living person was there, called by what was done (law 12)."""

    NOT_CHECKED = "not_checked"


def decide(distance: float, *, threshold: float) -> Decision:
    """Decide: a distance below the threshold is a match; one at the threshold is not."""
    return Decision.MATCH if distance < threshold else Decision.NO_MATCH
