"""Intervals resample people, as a plain bootstrap does and as computed by hand."""

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.evaluation import resampling
from app.evaluation.groups import Groups, no_groups
from app.evaluation.resampling import Bounds, Intervals, intervals
from app.evaluation.scores import ComparisonSource
from tests.evaluation.plain_loops import Images

THRESHOLDS = (0.5, 0.9)


def found(source: ComparisonSource, groups: Groups, *, resamples: int, seed: int = 1) -> list[Intervals]:
    return intervals(source, groups, THRESHOLDS, resamples=resamples, seed=seed, progress=lambda _doing: None)


def trial() -> tuple[Images, ComparisonSource, Groups]:
    """Fourteen people with one to five images, in three groups or in none."""
    chance = np.random.default_rng(2)
    person = np.repeat(np.arange(14), [1 + n % 5 for n in range(14)])
    vectors = (chance.normal(size=(14, 8)) * 0.25)[person] + chance.normal(size=(len(person), 8)) * 0.15
    labels = ("a", "b")
    of_person = np.array([(0, 1, -1)[n % 3] for n in range(14)])
    groups = {str(n): labels[label] for n, label in enumerate(of_person) if label >= 0}
    images = Images([tuple(map(float, vector)) for vector in vectors], [str(n) for n in person], groups)
    return images, ComparisonSource(vectors, person, "l2"), Groups(labels, of_person)


def draw(images: Images, threshold: float, chance: random.Random) -> dict[str, float]:
    """Draw people again and return every rate; a person who is drawn twice is never their own impostor."""
    people = sorted(images.by_person())
    drawn = [chance.choice(people) for _ in people]
    made: dict[str, list[bool]] = {}
    for one, other, same, distance in images.pairs:
        times = drawn.count(one) if same else drawn.count(one) * drawn.count(other)
        kinds = ["fnmr" if same else "fmr"]
        group = images.groups.get(one) if same else images.key(one, other)
        kinds += [f"{kinds[0]} {group}"] if group else []
        for kind in kinds:
            made.setdefault(kind, []).extend([(distance < threshold) is not same] * times)
    return {kind: sum(errors) / len(errors) for kind, errors in made.items() if errors} | draw_over_people(
        images, threshold, drawn
    )


def draw_over_people(images: Images, threshold: float, drawn: list[str]) -> dict[str, float]:
    """Return the rates of a draw in which each drawn person, or each two drawn people, count once."""
    of_two: dict[tuple[str, str], list[bool]] = {}
    for one, other, same, distance in images.pairs:
        of_two.setdefault((one, other), []).append((distance < threshold) is not same)
    made: dict[str, list[float]] = {}
    for (one, other), errors in of_two.items():
        same = one == other
        times = drawn.count(one) if same else drawn.count(one) * drawn.count(other)
        kinds = ["people fnmr" if same else "people fmr"]
        group = images.groups.get(one) if same else images.key(one, other)
        kinds += [f"{kinds[0]} {group}"] if group else []
        for kind in kinds:
            made.setdefault(kind, []).extend([sum(errors) / len(errors)] * times)
    return {kind: sum(rates) / len(rates) for kind, rates in made.items() if rates}


def of(one: Intervals, kind: str) -> Bounds:
    """Return the interval of one rate."""
    if kind.startswith("people "):
        assert one.over_people is not None
        return of(one.over_people, kind.removeprefix("people "))
    rate, _, group = kind.partition(" ")
    if not group:
        return one.fmr if rate == "fmr" else one.fnmr
    return one.fmr_by_group[group] if rate == "fmr" else one.fnmr_by_group[group]


@pytest.mark.slow
def test_intervals_agree_with_a_plain_bootstrap() -> None:
    images, source, groups = trial()
    draws, chance = 1500, random.Random(8)  # noqa: S311 - no secret depends on it

    told = found(source, groups, resamples=draws)

    for place, threshold in enumerate(THRESHOLDS):
        plain: dict[str, list[float]] = {}
        for _ in range(draws):
            for kind, rate in draw(images, threshold, chance).items():
                plain.setdefault(kind, []).append(rate)
        pairs = {"fmr", "fnmr", "fmr aa", "fmr ab", "fmr bb", "fnmr a", "fnmr b"}
        assert set(plain) == pairs | {f"people {kind}" for kind in pairs}
        for kind, rates in plain.items():
            bounds = of(told[place], kind)
            rates.sort()
            assert bounds is not None
            for bound, quantile in zip(bounds, (0.025, 0.975), strict=True):
                # The range of the bound by chance: the share of draws below it, four standard errors to either side.
                spread = 4 * math.sqrt(2 * quantile * (1 - quantile) / len(rates))
                low = rates[max(0, math.floor((quantile - spread) * len(rates)))]
                high = rates[min(len(rates) - 1, math.ceil((quantile + spread) * len(rates)))]
                assert low - 1e-9 <= bound <= high + 1e-9, (threshold, kind, quantile)


def test_two_people_of_whom_one_always_misses_agree_with_the_hand_computation() -> None:
    # Of person 0 both images are alike, of person 1 they are not; strangers never match. Four draws of equal chance:
    # 00 (no miss in 2), 01 and 10 (1 in 2), 11 (2 in 2): a quarter of the rates is 0, a quarter 1.
    vectors = np.array([[0.0, 0], [0.0, 0], [5.0, 0], [5.0, 3]])
    source = ComparisonSource(vectors, np.array([0, 0, 1, 1]), "l2")
    weights = list(resampling.weights(2, resamples=4000, seed=3))

    (first, _) = found(source, no_groups(2), resamples=4000, seed=3)

    shares = [sum(tuple(one) == drawn for one in weights) / 4000 for drawn in ((2, 0), (1, 1), (0, 2))]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert first.fnmr == (0.0, 1.0)
    assert first.fmr == (0.0, 0.0), "draws of one person alone have no impostor and do not count"


def test_a_person_drawn_twice_is_not_their_own_impostor() -> None:
    # If two copies of one person were impostors, half of the draws would have only false matches.
    vectors = np.array([[0.0], [0.0], [9.0], [9.0], [18.0], [18.0]])
    source = ComparisonSource(vectors, np.array([0, 0, 1, 1, 2, 2]), "l2")

    (first, _) = found(source, no_groups(3), resamples=1000)

    assert first.fmr == (0.0, 0.0)
    assert first.fnmr == (0.0, 0.0)


def test_listed_pairs_of_images_have_the_weights_of_both(tmp_path: Path) -> None:
    # Images as units: a genuine pair of two images counts as often as both were drawn.
    listed = (np.array([0, 0]), np.array([1, 2]), np.array([True, True]))
    source = ComparisonSource(np.array([[0.0], [0.1], [3.0], [9.0], [9.1]]), np.arange(5), "l2", listed)
    impostor = (np.array([0, 0, 3]), np.array([1, 2, 4]), np.array([True, True, False]))

    (first, _) = found(ComparisonSource(source.vectors, source.person, "l2", impostor), no_groups(5), resamples=3000)

    assert first.fnmr == (0.0, 1.0)
    assert first.fmr == (1.0, 1.0)


def test_two_runs_with_one_seed_are_equal(folder: Path, evaluated: Callable[..., dict[str, Any]]) -> None:
    timeless = {"speed": None, "date": None}

    one, same, other = evaluated(folder), evaluated(folder), evaluated(folder, "--seed", "2")

    assert one | timeless == same | timeless
    assert one["at"] != other["at"]
    assert one["calibration"]["table"] == other["calibration"]["table"]
