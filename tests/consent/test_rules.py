"""The pure rules of consent, at arbitrary times."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.consent.policy import EventState, ended_as, valid_until

HOURS = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
TIMES = st.datetimes(
    min_value=datetime(2000, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    max_value=datetime(2900, 1, 1),  # noqa: DTZ001 - the strategy adds the zone
    timezones=st.just(UTC),
)
DAYS = st.integers(1, 2000)
DURATIONS = st.timedeltas(timedelta(microseconds=1), timedelta(days=4000))


@given(now=TIMES, days=DAYS)
def test_by_default_a_consent_ends_at_the_end_of_a_day(now: datetime, days: int) -> None:
    ends = valid_until(None, now=now, default_days=days, longest_days=days)

    assert (ends.hour, ends.minute, ends.second, ends.microsecond, ends.tzinfo) == (0, 0, 0, 0, UTC)
    assert timedelta(days=days - 1) < ends - now <= timedelta(days=days)


@given(now=TIMES, span=DURATIONS, days=DAYS, zone=HOURS)
def test_a_chosen_end_is_kept_exactly_or_refused(now: datetime, span: timedelta, days: int, zone: timezone) -> None:
    chosen = (now + span).astimezone(zone)

    if span <= timedelta(days=days):
        assert valid_until(chosen, now=now, default_days=1, longest_days=days) == chosen
    else:
        with pytest.raises(ValueError, match=f"{days} days"):
            valid_until(chosen, now=now, default_days=1, longest_days=days)


@given(now=TIMES, span=DURATIONS, zone=HOURS)
def test_a_past_end_is_refused(now: datetime, span: timedelta, zone: timezone) -> None:
    for past in (now, now - span):
        with pytest.raises(ValueError, match="future"):
            valid_until(past.astimezone(zone), now=now, default_days=1, longest_days=4000)


@given(now=TIMES, span=DURATIONS)
def test_a_consent_expires_at_its_end_and_is_withdrawn_before_it(now: datetime, span: timedelta) -> None:
    assert ended_as(now, now=now) is EventState.EXPIRED
    assert ended_as(now - span, now=now) is EventState.EXPIRED
    assert ended_as(now + span, now=now) is EventState.WITHDRAWN
