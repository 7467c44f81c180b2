"""Refusals by reason and group: the intervals, the test of two groups, and the numbers of a folder."""

import io
from collections.abc import Callable
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.evaluation.groups import Groups
from app.evaluation.measure_images import TriedImages
from app.evaluation.refusals import count_refusals, describe_refusals, holm, permutation_p, resample, wilson
from app.faces.permit import PhotoUse
from tests.evaluation.conftest import Command, make_folder, toy_people
from tests.support.toy_faces import toy_photo

Evaluated = Callable[..., dict[str, Any]]
MANY = 30
"""People of each group: enough for a difference in all of them to be beyond chance."""


def random() -> np.random.Generator:
    return np.random.default_rng(5)


def exact_p(ones: int, of_one: int, others: int, of_other: int) -> float:
    """Return the exact p-value of the permutation test for people with one image each."""
    refused, people = ones + others, of_one + of_other
    observed = abs(ones / of_one - others / of_other)
    ways = [
        comb(refused, one) * comb(people - refused, of_one - one)
        for one in range(refused + 1)
        if abs(one / of_one - (refused - one) / of_other) >= observed - 1e-12 and of_one >= one
    ]
    return sum(ways) / comb(people, of_one)


def with_bystander(person: int) -> bytes:
    """Return a toy photo with a second face at its edge that is too small to be measured."""
    with Image.open(io.BytesIO(toy_photo(person))) as photo:
        photo.paste((0, 0, 250), (2, 0, 32, photo.height))
        out = io.BytesIO()
        photo.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("part", "of", "low", "high"),
    # Newcombe (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_has_the_published_values(part: int, of: int, low: float, high: float) -> None:
    assert wilson(part, of) == pytest.approx((low, high), abs=5e-5)
    assert wilson(of - part, of) == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_holms_method_has_the_published_values() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1))
def test_holms_method_keeps_the_order_and_lowers_nothing(values: list[float]) -> None:
    raised = holm(values)

    assert all(value <= more <= 1 for value, more in zip(values, raised, strict=True))
    assert all(a <= b for (_, a), (_, b) in zip(*(sorted(zip(values, raised, strict=True)),) * 2, strict=True))


@pytest.mark.parametrize("counts", [(10, 573, 0, 960), (4, 112, 3, 196), (3, 40, 9, 50), (5, 30, 5, 30)])
def test_with_one_image_each_the_test_agrees_with_the_exact_one(counts: tuple[int, int, int, int]) -> None:
    ones, of_one, others, of_other = counts
    refused = np.array([1] * ones + [0] * (of_one - ones) + [1] * others + [0] * (of_other - others))
    first = np.arange(of_one + of_other) < of_one

    found = permutation_p(refused, np.ones_like(refused), first, random(), draws=200_000)

    assert found == pytest.approx(exact_p(*counts), rel=0.05, abs=6e-5)


def test_many_refusals_of_one_person_are_one_observation() -> None:
    refused, images = np.zeros(40, dtype=np.int64), np.full(40, 20)
    refused[0] = 20
    first = np.arange(40) < 20

    assert exact_p(20, 400, 0, 400) < 1e-5
    assert permutation_p(refused, images, first, random()) > 0.9
    low, high = resample(refused, images, 2000, random())
    assert (low, high > 1.5 * wilson(20, 800)[1]) == (0.0, True)


def test_the_interval_by_person_is_that_of_plain_resampling() -> None:
    drawn = random()
    refused, images = drawn.integers(0, 3, 50), drawn.integers(3, 9, 50)
    rates = []
    for _ in range(4000):
        chosen = drawn.integers(0, 50, 50)
        rates.append(refused[chosen].sum() / images[chosen].sum())

    assert resample(refused, images, 4000, drawn) == pytest.approx(np.percentile(rates, (2.5, 97.5)), abs=0.01)


def test_every_reason_use_and_group_of_a_folder_is_counted(evaluated: Evaluated, tmp_path: Path) -> None:
    people = toy_people(8, 2)
    people["person 00"] += [toy_photo(), with_bystander(0), b"no image"]
    people["person 01"] += [toy_photo(1, 2), toy_photo(1, size=(80, 40))]
    root = make_folder(tmp_path / "trial", people, dict(zip(people, "ABABABA", strict=False)))

    document = evaluated(root)

    found = document["refusals"]["uses"]
    counted = {(use, reason): cell["images"] for use in found for reason, cell in found[use]["all"]["reasons"].items()}
    assert counted == {
        ("enrolment", "any reason"): 5,
        ("enrolment", "no-face"): 1,
        ("enrolment", "poor-quality"): 1,
        ("enrolment", "poor-quality: too_small"): 1,
        ("enrolment", "several-faces"): 2,
        ("enrolment", "unsupported-image"): 1,
        ("probe", "any reason"): 4,
        ("probe", "no-face"): 1,
        ("probe", "poor-quality"): 1,
        ("probe", "poor-quality: too_small"): 1,
        ("probe", "several-faces"): 1,
        ("probe", "unsupported-image"): 1,
    }
    group = found["enrolment"]["groups"]["A"]
    assert (group["people"], group["images"], group["reasons"]["any reason"]["images"]) == (4, 11, 3)
    assert group["reasons"]["any reason"]["ci95"] == pytest.approx(wilson(3, 11), abs=1e-3)
    assert group["reasons"]["any reason"]["ci95_by_person"][0] == 0
    assert found["enrolment"]["groups"]["B"]["reasons"]["no-face"]["images"] == 0
    assert (found["probe"]["max_yaw"], found["enrolment"]["max_yaw"]) == (0.35, 0.25)
    assert document["acquisition"]["measured"] == 17, "the comparisons are of images that are accepted as a probe"
    assert document["refusals"]["differ"] == []


def test_groups_that_are_refused_unequally_are_named(command: Command, tmp_path: Path) -> None:
    people = {f"{group}{n}": [toy_photo(n)] for n in range(MANY) for group in "AB"}
    people |= {f"B{n}": [with_bystander(n), toy_photo(n)] for n in range(MANY)}
    root = make_folder(tmp_path / "trial", people, {name: name[0] for name in people})

    result = command(root)

    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "several-faces, as a photo to enrol: A 0 of 30, B 30 of 60 (p = " in words
    assert "Refused as a probe 0 of 90: 0 (0 to 4.1 %)" in words
    html = (tmp_path / "report" / "evaluation.html").read_text("utf-8")
    assert "<li>several-faces, as a photo to enrol: A 0 of 30, B 30 of 60" in html


def test_without_groups_or_people_nothing_is_compared() -> None:
    refused = dict.fromkeys(PhotoUse, ("no-face", None, None))
    tried = TriedImages(np.array([-1, -1, -1]), refused)
    nobody = Groups((), np.array([], dtype=np.int64))

    found = count_refusals(tried, nobody, resamples=100, seed=1)

    assert (found["comparisons"], found["differ"], found["uses"]["probe"]["groups"]) == (0, [], {})
    assert found["uses"]["probe"]["all"]["people"] == 3
    assert describe_refusals({"refusals": found}) == {
        "Refused as a photo to enrol": ["1 of 3: 33 % (6.1 % to 79 %)"],
        "Refused as a probe": ["1 of 3: 33 % (6.1 % to 79 %)"],
    }
