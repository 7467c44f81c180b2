"""A hill climber and a sweep of one found photo stop within their budgets (docs/explanation/failed-comparisons.md)."""

from pathlib import Path
from statistics import median

from tests.comparisons.attackers import climbers, swept

FREE, DOUBLED = 5, 7
"""Decisions without a wait; waits of 30 seconds to 32 minutes, after which each is an hour."""
A_DAY_OF_HOURS = 24


def test_a_climber_gets_a_few_decisions_a_day_where_it_would_take_hundreds(root: Path) -> None:
    without, got = climbers(root, doors=1, number=8)

    assert max(one.decisions for one in got) <= FREE + DOUBLED + A_DAY_OF_HOURS
    assert all(one.refusals > 0 for one in got if not one.matched)
    assert median(without) > 5 * max(one.decisions for one in got)
    assert sum(one.matched for one in got) <= 1, "by luck"


def test_at_several_relying_parties_it_gets_no_more_than_the_budget(root: Path) -> None:
    _, got = climbers(root, doors=3, number=4)

    assert max(one.decisions for one in got) == 50


def test_a_sweep_of_200_references_gets_twenty_in_the_first_hour(root: Path) -> None:
    found = swept(root, people=60)

    assert (found.in_the_first_hour, found.stops) == (20, 2)
    assert found.hours_for_all > 2
