"""The rules of consent, pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID

from app.faces.permit import Purpose

ENROLLABLE = frozenset({Purpose.VERIFICATION, Purpose.IDENTIFICATION})
"""The purposes that a template is made for."""


class EventState(StrEnum):
    """The state that a consent event records (ISO/IEC TS 27560: event_state)."""

    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEvent:
    """One thing that a person said about one purpose, or that time did. Never updated."""

    consent_id: UUID
    state: EventState
    event_time: datetime
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    valid_until: datetime | None
    """Only where consent was given."""


def valid_until(chosen: datetime | None, *, now: datetime, default_days: int, longest_days: int) -> datetime:
    """Return when a consent given at *now* ends.

    By default at the end of a day (UTC), so that the end does not tell the minute of the beginning.

    Raises:
        ValueError: the *chosen* end is past, or later than the longest allowed.
    """
    if chosen is None:
        return datetime.combine(now.date() + timedelta(days=default_days), time(), tzinfo=UTC)
    if chosen <= now:
        msg = "choose an end in the future"
        raise ValueError(msg)
    if chosen > now + timedelta(days=longest_days):
        msg = f"choose an end at most {longest_days} days from now"
        raise ValueError(msg)
    return chosen.astimezone(UTC)


def renewed_until(
    chosen: datetime | None, *, standing: datetime, now: datetime, default_days: int, longest_days: int
) -> datetime:
    """Return when a consent ends that is renewed at *now* and would have ended at *standing*; never before that.

    Raises:
        ValueError: the *chosen* end, or that by default, is earlier than that; or it is later than the longest allowed.
    """
    ends = valid_until(chosen, now=now, default_days=default_days, longest_days=longest_days)
    if ends < standing:
        # Nor is the old end kept: a receipt that names it once more would go with that of giving, and with no other.
        msg = "it ends later than that already: choose a later end. To end it sooner withdraw it, and give it anew"
        raise ValueError(msg)
    return ends


def renewal_is_due(ends: datetime, *, days: int, now: datetime) -> bool:
    """Say whether a consent ends within so many days."""
    return now < ends <= now + timedelta(days=days)


def ended_as(ends: datetime, *, now: datetime) -> EventState:
    """Say how a consent that is being ended at *now* ended: at its time, or before it by a person."""
    return EventState.EXPIRED if ends <= now else EventState.WITHDRAWN
