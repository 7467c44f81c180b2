"""Pure rules of consent."""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from uuid import UUID

from app.faces.permit import Purpose
from app.kit.errors import InvalidRequestError
from app.settings import Settings

ENROLMENT_PURPOSES = frozenset({Purpose.VERIFICATION, Purpose.IDENTIFICATION})
"""The purposes that need a template."""


class EventState(StrEnum):
    """The state that a consent event records (ISO/IEC TS 27560: event_state)."""

    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentEvent:
    """One decision of the subject about one purpose, or the expiry of a consent. Never updated."""

    consent_id: UUID
    state: EventState
    event_time: datetime
    purpose: Purpose
    relying_party_id: UUID | None
    notice_sha256: str
    valid_until: datetime | None
    """Only where consent was given."""


def valid_until(chosen: datetime | None, *, now: datetime, default_days: int, longest_days: int) -> datetime:
    """Return the end of a consent given at *now*.

    The default is the end of a day (UTC), so that it does not reveal the minute at which the consent was given.

    Raises:
        ValueError: the *chosen* end is past, or later than the longest allowed.
    """
    if chosen is None:
        return datetime.combine(now.date() + timedelta(days=default_days), time(), tzinfo=UTC)
    if chosen <= now:
        raise ValueError("choose an end in the future")
    if chosen > now + timedelta(days=longest_days):
        raise ValueError(f"choose an end at most {longest_days} days from now")
    return chosen.astimezone(UTC)


def renewed_until(
    chosen: datetime | None, *, current_end: datetime, now: datetime, default_days: int, longest_days: int
) -> datetime:
    """Return the end of a consent renewed at *now*; never before *current_end*.

    Raises:
        ValueError: the chosen or default end is earlier than *current_end*, or later than the longest allowed.
    """
    ends = valid_until(chosen, now=now, default_days=default_days, longest_days=longest_days)
    if ends < current_end:
        # The current end is not kept either: a receipt that repeats it could be linked to the receipt of giving.
        raise ValueError(
            "choose an end no earlier than the present one; to end it sooner, withdraw it and give it again"
        )
    return ends


def choose_end(
    chosen: datetime | None, settings: Settings, *, now: datetime, current_end: datetime | None = None
) -> datetime:
    """Return the end of a consent that is given, or renewed if it has a *current_end*.

    Raises:
        InvalidRequestError: the *chosen* end is not allowed.
    """
    days = {"default_days": settings.consent_days, "longest_days": settings.consent_max_days}
    try:
        if current_end is None:
            return valid_until(chosen, now=now, **days)
        return renewed_until(chosen, current_end=current_end, now=now, **days)
    except ValueError as error:
        raise InvalidRequestError(("/valid_until", str(error))) from error


def renewal_is_due(ends: datetime, *, days: int, now: datetime) -> bool:
    """Return whether a consent ends within *days*."""
    return now < ends <= now + timedelta(days=days)


def ended_as(ends: datetime, *, now: datetime) -> EventState:
    """Return the final state of a consent ended at *now*: expired at its time, or withdrawn before it."""
    return EventState.EXPIRED if ends <= now else EventState.WITHDRAWN
