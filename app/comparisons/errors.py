"""Refusals of a relying party that failed too often."""

import math
from datetime import timedelta

from app.kit.errors import TooManyAttemptsError


class TooManyFailuresError(TooManyAttemptsError):
    """Too many photos did not match this subject. Only for a usable reference; no image was decoded."""

    detail = (
        "Too many photos of this person did not match. Wait as many seconds as the header `Retry-After` says, or offer "
        "the person your alternative."
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
