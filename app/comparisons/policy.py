"""From a distance to a decision, and how often that may fail; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

DAY = timedelta(hours=24)
"""For how long a failed comparison counts."""
STEPPED_BACK = timedelta(seconds=5)
"""What lies further ahead than this was noted before a clock was set back: it would hold until that time comes again,
so it counts for nothing."""

MOST_DOUBLINGS = 17
"""A second doubled so often is more than a day."""


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


@dataclass(frozen=True, slots=True)
class Failure:
    """A comparison of a person that did not match."""

    at: datetime
    relying_party_id: UUID
    in_a_row: bool
    """Whether nothing has matched for this relying party since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How often comparisons of one person may fail."""

    free: int
    """For one relying party, in a row, before the next has to wait."""
    delay: timedelta
    """That it then waits; each further failure doubles it."""
    longest: timedelta
    """That it waits at most."""
    per_day: int
    """For all relying parties together, in 24 hours."""


def counting(failures: Sequence[Failure], *, now: datetime) -> list[Failure]:
    """Return the failures that count at *now*, the oldest first: those of the last 24 hours."""
    recent = [one for one in failures if now - DAY < one.at <= now + STEPPED_BACK]
    return sorted(recent, key=lambda one: one.at)


def delay(in_a_row: int, limits: Limits) -> timedelta:
    """Return how long the next comparison waits after so many failures in a row."""
    if in_a_row < limits.free:
        return timedelta()
    doubled: int = 2 ** min(in_a_row - limits.free, MOST_DOUBLINGS)
    return min(limits.delay * doubled, limits.longest)


def wait(failures: Sequence[Failure], *, relying_party_id: UUID, limits: Limits, now: datetime) -> timedelta:
    """Return for how long this relying party has to wait before it compares the person again; nothing: it need not."""
    known = counting(failures, now=now)
    ends = [now]
    row = [one for one in known if one.in_a_row and one.relying_party_id == relying_party_id]
    if row:
        ends.append(row[-1].at + delay(len(row), limits))
    if len(known) >= limits.per_day:
        # Until so many have fallen out of the 24 hours that one more fits in.
        ends.append(known[-limits.per_day].at + DAY)
    return max(ends) - now


@dataclass(frozen=True, slots=True)
class Failed:
    """The last time that a relying party failed with a reference."""

    at: datetime
    comparison_ids: tuple[UUID, ...]
    """Of the comparisons that failed; none where the reference is nobody's."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What one relying party failed with lately."""

    failed: Mapping[str, Failed]
    """By the digest of the reference."""
    stopped_until: datetime | None = None


def tried(known: Tried, *, window: timedelta, now: datetime) -> Tried:
    """Return what of it counts at *now*: the window has not passed, and no clock was set back."""
    recent = {one: failed for one, failed in known.failed.items() if now - window < failed.at <= now + STEPPED_BACK}
    until = known.stopped_until
    holds = until is not None and now < until <= now + window + STEPPED_BACK
    return Tried(recent, until if holds else None)


def failed(known: Tried, digest: str, comparison_id: UUID | None, *, now: datetime) -> Tried:
    """Count a failure with one more reference, or once more with one."""
    before = known.failed.get(digest)
    ids = (before.comparison_ids if before else ()) + (() if comparison_id is None else (comparison_id,))
    return Tried({**known.failed, digest: Failed(now, ids)}, known.stopped_until)
