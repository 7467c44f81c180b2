"""What matching refuses to a relying party that may ask, and has failed too often."""

import math
from datetime import timedelta

from app.kit.errors import TooManyAttemptsError


class TooManyFailuresError(TooManyAttemptsError):
    """Too many photos did not match this person. Only for a reference that may be used; no image is decoded."""

    detail = (
        "Too many photos did not match. Wait for as long as the header `Retry-After` says, in seconds, or offer the "
        "person your alternative."
    )


class SweepStoppedError(TooManyAttemptsError):
    """The relying party failed with too many references: it gets this for every reference, whatever that is."""

    detail = (
        "Too many different references failed. Nothing is compared for you for as long as the header `Retry-After` "
        "says, in seconds. The people concerned and the operator have been told."
    )


def seconds(wait: timedelta) -> int:
    """Return a wait in whole seconds, upwards."""
    return max(1, math.ceil(wait.total_seconds()))
