"""Refusals of a relying party that failed too often."""

import math
from datetime import timedelta

from app.kit.errors import TooManyAttemptsError


class TooManyFailuresError(TooManyAttemptsError):
    """One reference failed too often: photos did not match, or it was unusable. No image was decoded."""

    detail = (
        "This reference failed too often. Wait as many seconds as the header `Retry-After` says, or offer the person "
        "your alternative."
    )


class SweepStoppedError(TooManyAttemptsError):
    """The relying party failed with too many references. It gets this answer for every reference."""

    detail = (
        "Too many different references failed. Nothing is compared for you for as many seconds as the header "
        "`Retry-After` says. The people concerned and the operator were informed."
    )


def whole_seconds(wait: timedelta) -> int:
    """Return *wait* in seconds, rounded up, at least 1."""
    return max(1, math.ceil(wait.total_seconds()))
