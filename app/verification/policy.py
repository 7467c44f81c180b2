"""The decision of a verification; pure."""

from app.comparisons.policy import Decision


def decide(distance: float, *, threshold: float) -> Decision:
    """Return a match if the distance is below the threshold; a distance equal to it is no match."""
    return Decision.MATCH if distance < threshold else Decision.NO_MATCH
