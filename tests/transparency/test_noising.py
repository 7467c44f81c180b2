"""How many random leaves a batch gets: so that nobody counts what others did by filling the batch up themselves."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.startup import Run, prepare
from app.transparency.log import batch, entries, padding
from app.transparency.log.entries import LoggedAct
from app.vault.open import open_vault
from app.vault.vault import Vault
from tests.support.service_fixture import settings_for

CENTRE = 16
DRAWS = 200_000
BATCHES = 400
START = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)


def test_one_act_more_changes_no_size_much() -> None:
    chance = random.Random(20261126)  # noqa: S311 - repeatable on purpose
    with_none = Counter(padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS))
    with_one = Counter(1 + padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS))
    bound = 1 / padding.compute_alpha(CENTRE)
    # Of rare sizes the counts say little.
    common = [size for size in with_none if min(with_none[size], with_one[size]) > 2_000]

    assert bound < 1.25
    assert len(common) > 15
    assert all(
        1 / bound < 1.1 * with_one[size] / with_none[size] and with_one[size] / with_none[size] < 1.1 * bound
        for size in common
    )
    assert with_none[0] / DRAWS < 0.025, "so rarely would it be below 0"


def test_it_is_what_is_set_on_average_and_never_negative() -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable on purpose
    drawn = [padding.draw_padding(CENTRE, chance=chance) for _ in range(DRAWS)]

    assert min(drawn) == 0
    assert CENTRE - 0.1 < sum(drawn) / DRAWS < CENTRE + 0.2


def act(vault: Vault, times: int) -> None:
    with vault.data.write() as session:
        for number in range(times):
            entries.append_open_entry(session, LoggedAct.REFUSAL, number=number)


def guessed_right(root: Path, *, noise: int) -> float:
    """Fill each batch up with eight acts, let somebody else act in half of them, and guess in which by the size."""
    chance = random.Random(11)  # noqa: S311 - repeatable on purpose
    settings = settings_for(root, log_noise=noise, log_interval=600.0)
    vault = open_vault(settings)
    prepare(vault, settings, Run.MIGRATE, clock=lambda: START)
    now, size, seen = START, 0, list[tuple[bool, int]]()
    for _ in range(BATCHES + 1):
        other = chance.random() < 0.5
        act(vault, 8 + other)
        now += timedelta(seconds=600)
        joined = batch.append_batch(vault, now=now)
        assert joined is not None
        seen.append((other, joined.size - size))
        size = joined.size
    vault.data.close()
    vault.register.store.close()
    # The first has what the log began with. The best rule by the size: above some number, somebody acted.
    cuts = sorted({grown for _, grown in seen[1:]})
    return max(sum((grown > cut) == other for other, grown in seen[1:]) / BATCHES for cut in cuts)


def test_whoever_fills_a_batch_up_does_not_see_who_else_acts(root: Path) -> None:
    # At most e^epsilon / (1 + e^epsilon) = 0.555 in the long run, and the best cut was chosen after the fact.
    assert guessed_right(root, noise=CENTRE) < 0.62


def test_without_noise_they_see_all_of_it(root: Path) -> None:
    """The control."""
    assert guessed_right(root, noise=0) == pytest.approx(1.0)
