"""Limits on failed comparisons; pure rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

DAY = timedelta(hours=24)
"""A failed comparison counts for this time."""
CLOCK_TOLERANCE = timedelta(seconds=5)
"""A failure further in the future was noted before a clock was set back, and does not count."""

MAX_DOUBLINGS = 17
"""A second, doubled this often, is more than a day."""


class Decision(StrEnum):
    """The only result of a comparison that a relying party learns (law 9)."""

    MATCH = "match"
    NO_MATCH = "no_match"


class Liveness(StrEnum):
    """The check for a living person, named by the work done (law 12)."""

    NOT_CHECKED = "not_checked"


@dataclass(frozen=True, slots=True)
class Failure:
    """One comparison of a subject that did not match."""

    at: datetime
    relying_party_id: UUID
    in_a_row: bool
    """Whether this relying party has had no match since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureLimits:
    """Limits on the failed comparisons of one subject."""

    free: int
    """Failures in a row, of one relying party, that cause no delay."""
    delay: timedelta
    """The first delay; each further failure doubles it."""
    longest: timedelta
    """The longest delay."""
    per_day: int
    """Failures of all relying parties together, in 24 hours."""


def recent_failures(failures: Sequence[Failure], *, now: datetime) -> list[Failure]:
    """Return the failures that count at *now*, the oldest first."""
    recent = [failure for failure in failures if now - DAY < failure.at <= now + CLOCK_TOLERANCE]
    return sorted(recent, key=lambda failure: failure.at)


def delay_after(in_a_row: int, limits: FailureLimits) -> timedelta:
    """Return the delay of the next comparison after this many failures in a row."""
    if in_a_row < limits.free:
        return timedelta()
    factor: int = 2 ** min(in_a_row - limits.free, MAX_DOUBLINGS)
    return min(limits.delay * factor, limits.longest)


def remaining_wait(
    failures: Sequence[Failure], *, relying_party_id: UUID, limits: FailureLimits, now: datetime
) -> timedelta:
    """Return the time until the relying party may compare the subject again; zero if it may do so now."""
    recent = recent_failures(failures, now=now)
    ends = [now]
    in_a_row = [failure for failure in recent if failure.in_a_row and failure.relying_party_id == relying_party_id]
    if in_a_row:
        ends.append(in_a_row[-1].at + delay_after(len(in_a_row), limits))
    if len(recent) >= limits.per_day:
        # When this failure is 24 hours old, fewer than `per_day` remain.
        ends.append(recent[-limits.per_day].at + DAY)
    return max(ends) - now


def add_decision(
    failures: Sequence[Failure], decision: Decision, *, relying_party_id: UUID, now: datetime
) -> list[Failure] | None:
    """Return the failures after *decision*, None if it changes nothing.

    A match ends the failures in a row of the relying party; they still count for the day.
    """
    recent = recent_failures(failures, now=now)
    if decision is Decision.NO_MATCH:
        return [*recent, Failure(now, relying_party_id, in_a_row=True)]
    if not any(failure.in_a_row and failure.relying_party_id == relying_party_id for failure in recent):
        return None
    return [
        replace(failure, in_a_row=False) if failure.relying_party_id == relying_party_id else failure
        for failure in recent
    ]


@dataclass(frozen=True, slots=True)
class FailedReference:
    """The failures of a relying party with one reference."""

    at: datetime
    """The last failure."""
    comparison_ids: tuple[UUID, ...]
    """The failed comparisons; none if the reference belongs to no subject."""
    unusable: int = 0
    """How often the relying party could not use the reference, since the last comparison with it."""


@dataclass(frozen=True, slots=True)
class PartyFailures:
    """The references with which one relying party failed recently."""

    failed: Mapping[str, FailedReference]
    """By the digest of the reference."""
    stopped_until: datetime | None = None


def current_failures(known: PartyFailures, *, window: timedelta, now: datetime) -> PartyFailures:
    """Return the part that counts at *now*: not older than *window*, and not noted before a clock was set back."""
    recent = {
        digest: reference
        for digest, reference in known.failed.items()
        if now - window < reference.at <= now + CLOCK_TOLERANCE
    }
    until = known.stopped_until
    is_stopped = until is not None and now < until <= now + window + CLOCK_TOLERANCE
    return PartyFailures(recent, until if is_stopped else None)


def add_failed_reference(
    known: PartyFailures, digest: str, comparison_id: UUID | None, *, now: datetime
) -> PartyFailures:
    """Add a failure with the reference of this digest; without *comparison_id*, the reference was unusable."""
    before = known.failed.get(digest) or FailedReference(now, ())
    if comparison_id is None:
        after = FailedReference(now, before.comparison_ids, before.unusable + 1)
    else:
        after = FailedReference(now, (*before.comparison_ids, comparison_id))
    return PartyFailures({**known.failed, digest: after}, known.stopped_until)


def wait_for_reference(known: PartyFailures, digest: str, limits: FailureLimits, *, now: datetime) -> timedelta:
    """Return the time until the relying party may ask about an unusable reference again; zero if it may now."""
    reference = known.failed.get(digest)
    if reference is None:
        return timedelta()
    return max(timedelta(), reference.at + delay_after(reference.unusable, limits) - now)
