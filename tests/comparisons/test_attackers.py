"""The limits hold against a hill climber and a sweep with one photo (docs/explanation/failed-comparisons.md)."""

from pathlib import Path
from statistics import median

from tests.comparisons.attackers import run_climbers, run_sweep

FREE, DOUBLED = 5, 7
"""Decisions without a wait; then waits of 30 seconds to 32 minutes, before each is an hour."""
A_DAY_OF_HOURS = 24


def test_a_climber_gets_far_fewer_decisions_a_day_than_it_needs(root: Path) -> None:
    without, got = run_climbers(root, parties=1, number=6)

    assert max(one.decisions for one in got) <= FREE + DOUBLED + A_DAY_OF_HOURS
    assert all(one.refusals > 0 for one in got if not one.matched)
    assert median(without) > 5 * max(one.decisions for one in got)
    assert sum(one.matched for one in got) <= 1, "by chance"


def test_several_relying_parties_share_the_limit_of_a_day(root: Path) -> None:
    _, got = run_climbers(root, parties=3, number=2)

    assert max(one.decisions for one in got) == 50


def test_a_sweep_gets_twenty_decisions_in_the_first_hour(root: Path) -> None:
    found = run_sweep(root, people=50)

    assert (found.in_first_hour, found.blocks) == (20, 2)
    assert found.hours_for_all > 2
