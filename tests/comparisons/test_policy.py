"""The rules of failing: what waits, for how long, and that no clock that is set back locks anybody out."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st

from app.comparisons.policy import (
    CLOCK_TOLERANCE,
    DAY,
    FailedReference,
    Failure,
    FailureLimits,
    PartyFailures,
    add_failed_reference,
    current_failures,
    delay_after,
    recent_failures,
    remaining_wait,
)

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
DOOR, GATE = UUID(int=1), UUID(int=2)
LIMITS = FailureLimits(free=5, delay=timedelta(seconds=30), longest=timedelta(hours=1), per_day=50)
HOUR = timedelta(hours=1)


def failures(count: int, *, last: datetime = NOW, door: UUID = DOOR, apart_s: float = 1.0) -> list[Failure]:
    """Return so many failures in a row, the last of them at *last*."""
    return [Failure(last - timedelta(seconds=apart_s * back), door, in_a_row=True) for back in reversed(range(count))]


def test_five_are_free_then_thirty_seconds_that_double_up_to_an_hour() -> None:
    waits = [delay_after(count, LIMITS).total_seconds() for count in range(15)]

    assert waits == [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@given(count=st.integers(0, 10**9), free=st.integers(1, 100), first=st.integers(1, 86_400))
def test_a_delay_never_shrinks_and_is_never_longer_than_the_longest(count: int, free: int, first: int) -> None:
    limits = FailureLimits(free=free, delay=timedelta(seconds=first), longest=DAY, per_day=1)

    assert delay_after(count, limits) <= delay_after(count + 1, limits) <= DAY
    assert (delay_after(count, limits) >= timedelta(seconds=first)) == (count >= free)


def test_the_wait_is_over_when_the_delay_is() -> None:
    known = failures(5)

    assert remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW) == timedelta(seconds=30)
    assert remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW + timedelta(seconds=29.5)) == timedelta(
        seconds=0.5
    )
    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW + timedelta(seconds=30))
    assert not remaining_wait(known, relying_party_id=GATE, limits=LIMITS, now=NOW), "it is another's delay"


def test_what_matched_since_is_not_in_a_row_and_counts_for_the_day() -> None:
    known = [Failure(one.at, one.relying_party_id, in_a_row=False) for one in failures(49)]

    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW)
    assert remaining_wait([*known, known[-1]], relying_party_id=DOOR, limits=LIMITS, now=NOW)


def test_the_day_is_over_all_relying_parties_and_ends_when_the_oldest_falls_out() -> None:
    known = failures(25, last=NOW - HOUR, apart_s=60) + failures(25, door=GATE, apart_s=60)
    oldest = min(one.at for one in known)

    left = remaining_wait(known, relying_party_id=uuid4(), limits=LIMITS, now=NOW)

    assert left == oldest + DAY - NOW
    assert not remaining_wait(known, relying_party_id=uuid4(), limits=LIMITS, now=NOW + left)


@given(
    known=st.lists(
        st.builds(
            Failure,
            st.timedeltas(-2 * DAY, 2 * DAY).map(lambda ago: NOW - ago),
            st.sampled_from([DOOR, GATE]),
            st.booleans(),
        ),
        max_size=80,
    )
)
def test_nobody_waits_longer_than_a_day_whatever_the_clock_did(known: list[Failure]) -> None:
    left = remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW)

    assert timedelta() <= left <= DAY + CLOCK_TOLERANCE
    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW - 5 * DAY), "nothing of it was yet"
    assert all(NOW - DAY < one.at <= NOW + CLOCK_TOLERANCE for one in recent_failures(known, now=NOW))


def test_references_count_for_the_window_and_each_once() -> None:
    comparison = uuid4()
    known = add_failed_reference(
        add_failed_reference(PartyFailures({}), "a", None, now=NOW - HOUR), "b", comparison, now=NOW
    )
    again = add_failed_reference(known, "b", comparison, now=NOW)

    assert set(current_failures(known, window=HOUR, now=NOW).failed) == {"b"}
    assert again.failed["b"] == FailedReference(NOW, (comparison, comparison))
    assert current_failures(known, window=2 * HOUR, now=NOW) == known


def test_a_stop_holds_for_the_window_and_not_for_a_clock_that_was_set_back() -> None:
    stopped = PartyFailures({}, NOW + HOUR)

    assert current_failures(stopped, window=HOUR, now=NOW).stopped_until
    assert current_failures(stopped, window=HOUR, now=NOW + HOUR).stopped_until is None
    assert current_failures(stopped, window=HOUR, now=NOW - DAY).stopped_until is None
