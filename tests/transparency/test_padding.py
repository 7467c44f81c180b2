"""Random leaves in a batch hide how many acts there were, also from an observer who adds leaves to the batch."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from app.startup import Run, prepare
from app.transparency.log import batch, entries, padding
from app.transparency.log.entries import LoggedAct
from app.vault.open import open_vault
from tests.support.service_fixture import settings_for

CENTRE = 16
DRAWS = 100_000
BATCHES = 2_000
OWN_ACTS = 8
"""Acts of the observer in each batch."""
START = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


def test_one_more_act_hardly_changes_the_probability_of_a_size() -> None:
    chance = random.Random(20261126)  # noqa: S311 - repeatable on purpose
    without = Counter(padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS))
    with_act = Counter(1 + padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS))
    bound = 1 / padding.compute_alpha(CENTRE)
    # The counts of rare sizes vary too much.
    common = [size for size in without if min(without[size], with_act[size]) > 1_500]

    assert bound < 1.25
    assert len(common) > 15
    assert all(1 / bound < 1.1 * with_act[size] / without[size] for size in common)
    assert all(with_act[size] / without[size] < 1.1 * bound for size in common)
    assert without[0] / DRAWS < 0.025, "a draw is rarely below 0"


def test_the_mean_is_the_setting_and_no_number_is_negative() -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable on purpose
    drawn = [padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS)]

    assert min(drawn) == 0
    assert CENTRE - 0.15 < sum(drawn) / DRAWS < CENTRE + 0.25


def best_guess(*, noise: int) -> float:
    """Return how often an observer, who fills each batch with own acts, sees from its size that another person acted.

    The other person acts in half of the batches. The observer uses the best rule: another act above some size.
    """
    chance = random.Random(11)  # noqa: S311 - repeatable on purpose
    multiple = settings_for(Path()).log_padding
    seen = []
    for _ in range(BATCHES):
        other = chance.random() < 0.5
        seen.append((other, len(padding.pad([b""] * (OWN_ACTS + other), multiple=multiple, noise=noise))))
    cuts = {size for _, size in seen}
    return max(sum((size > cut) == other for other, size in seen) / BATCHES for cut in cuts)


def test_an_observer_who_fills_batches_does_not_see_other_acts() -> None:
    # In the long run at most e^epsilon / (1 + e^epsilon) = 0.555; the best cut is chosen afterwards.
    assert best_guess(noise=CENTRE) < 0.60


def test_without_noise_the_observer_sees_every_other_act() -> None:
    """The control."""
    assert best_guess(noise=0) == pytest.approx(1.0)


@pytest.mark.parametrize("noise", [0, CENTRE])
def test_batches_have_the_noise_of_the_setting(root: Path, noise: int) -> None:
    settings = settings_for(root, log_noise=noise, log_interval=600.0)
    vault = open_vault(settings)
    prepare(vault, settings, Run.MIGRATE, clock=lambda: START)
    sizes = []
    for number in range(17):
        with vault.data.write() as session:
            for act in range(OWN_ACTS):
                entries.append_open_entry(session, LoggedAct.REFUSAL, number=act)
        joined = batch.append_batch(vault, settings=settings, now=START + timedelta(seconds=600 * (number + 1)))
        assert joined is not None
        sizes.append(joined.size)
    vault.close()
    # The first batch also has the entries of a new log.
    growth = {after - before for before, after in pairwise(sizes)}

    # With noise, sixteen equal batches come once in some two hundred thousand runs.
    assert growth == {OWN_ACTS} if noise == 0 else len(growth) > 1
