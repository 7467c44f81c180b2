"""The limits on failed comparisons, also with a clock that is set back."""

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
    """Return failures in a row, the last at *last*."""
    return [Failure(last - timedelta(seconds=apart_s * back), door, in_a_row=True) for back in reversed(range(count))]


def test_after_five_failures_the_wait_doubles_from_thirty_seconds_to_an_hour() -> None:
    waits = [delay_after(count, LIMITS).total_seconds() for count in range(15)]

    assert waits == [0, 0, 0, 0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@given(count=st.integers(0, 10**9), free=st.integers(1, 100), first=st.integers(1, 86_400))
def test_a_delay_never_shrinks_and_is_never_longer_than_the_longest(count: int, free: int, first: int) -> None:
    limits = FailureLimits(free=free, delay=timedelta(seconds=first), longest=DAY, per_day=1)

    assert delay_after(count, limits) <= delay_after(count + 1, limits) <= DAY
    assert (delay_after(count, limits) >= timedelta(seconds=first)) == (count >= free)


def test_the_wait_ends_with_the_delay() -> None:
    known = failures(5)

    assert remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW) == timedelta(seconds=30)
    assert remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW + timedelta(seconds=29.5)) == timedelta(
        seconds=0.5
    )
    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW + timedelta(seconds=30))
    assert not remaining_wait(known, relying_party_id=GATE, limits=LIMITS, now=NOW), "the delay is of another party"


def test_after_a_match_failures_count_for_the_day_only() -> None:
    known = [Failure(one.at, one.relying_party_id, in_a_row=False) for one in failures(49)]

    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW)
    assert remaining_wait([*known, known[-1]], relying_party_id=DOOR, limits=LIMITS, now=NOW)


def test_the_limit_of_a_day_counts_all_parties_and_ends_with_the_oldest_failure() -> None:
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
def test_no_wait_is_longer_than_a_day_with_any_clock(known: list[Failure]) -> None:
    left = remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW)

    assert timedelta() <= left <= DAY + CLOCK_TOLERANCE
    assert not remaining_wait(known, relying_party_id=DOOR, limits=LIMITS, now=NOW - 5 * DAY), (
        "all failures are in the future"
    )
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
