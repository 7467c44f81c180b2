"""Every number of a report agrees with plain loops that share no code with the program."""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from app.evaluation import galleries, rates, resampling, scores, service
from app.evaluation import report as document
from app.evaluation.groups import Groups, no_groups
from app.evaluation.image_folder import Folder, Sample
from app.evaluation.lookalikes import NearestStrangers
from app.evaluation.measure_images import MeasuredImages, TriedImages
from app.evaluation.pairs import ListedPairs
from app.evaluation.provenance import state
from app.evaluation.scores import ComparisonSource
from app.evaluation.trial import EvaluationRequest, Trial
from app.faces.cards.calibration import FnmrOverPeople
from app.faces.cards.card import Card, load_card, parse_card
from app.faces.permit import PhotoUse
from tests.evaluation import plain_loops
from tests.evaluation.plain_loops import Images
from tests.support.toy_engine import toy_card

NOW = datetime(2026, 1, 2, tzinfo=UTC)
Evaluated = Callable[..., dict[str, Any]]


def near(value: float | None) -> Any:
    """Return an approximation for a number of four digits; None stays."""
    return None if value is None else pytest.approx(value, rel=6e-4, abs=1e-12)


def as_rates(found: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its numbers ready for comparison."""
    plain_ones = {"threshold", "false_matches", "references", "changed_decisions"}
    return {
        name: value
        if name in plain_ones or value is None
        else as_rates(value)
        if isinstance(value, dict)
        else near(value)
        for name, value in found.items()
    }


def without_bounds(found: Any) -> Any:
    """Return rows without their intervals, which `test_intervals.py` compares."""
    if isinstance(found, list):
        return [without_bounds(one) for one in found]
    if isinstance(found, dict):
        return {name: without_bounds(value) for name, value in found.items() if name != "ci95_by_person"}
    return found


def compare(document: dict[str, Any], images: Images) -> None:
    """Compare every number of a report with the loops."""
    pairs = images.pairs
    genuine, impostor = (sum(pair[2] is same for pair in pairs) for same in (True, False))
    found = document["calibration"]
    assert (found["genuine_pairs"], found["impostor_pairs"]) == (genuine, impostor)
    assert found["pairs_floor"] == near(3 / impostor)
    rows = plain_loops.table(images)
    assert found["table"] == [as_rates(row) for row in rows]
    points = plain_loops.curve(images)
    for column, name in enumerate(("threshold", "fmr", "fnmr")):
        assert document["det"][name] == [near(point[column]) for point in points]
    counts = {kind: plain_loops.histogram(images, same=kind == "genuine") for kind in ("genuine", "impostor")}
    longest = max(map(len, counts.values()))
    assert document["histograms"] == {
        "bin": 0.01,
        **{kind: each + [0] * (longest - len(each)) for kind, each in counts.items()},
    }
    for one in document["at"]:
        expected = as_rates(plain_loops.row(images, one["threshold"]))
        assert without_bounds({name: one[name] for name in expected}) == expected
    for stored in document["stored_numbers"]["at"]:
        assert stored == as_rates(plain_loops.stored_rates(images, stored["threshold"]))
    assert {one["threshold"] for one in document["stored_numbers"]["at"]} == {
        one["threshold"] for one in document["at"]
    }
    on_card = {row["threshold"] for row in found["table"]}
    assert {row["threshold"] for row in found["ci95_by_person"]} == {
        one["threshold"] for one in document["at"]
    } & on_card


def compare_people(document: dict[str, Any], images: Images) -> None:
    """Compare references and galleries with the loops."""
    thresholds = sorted(one["threshold"] for one in document["at"])
    expected = plain_loops.references(images, thresholds, most=document["settings"]["most_references"])
    found = document["references"]
    assert (found["people"], found["probes"]) == (expected["people"], expected["probes"])
    for row, other in zip(found["rows"], expected["rows"], strict=True):
        for way in ("mean", "nearest"):
            assert without_bounds(row[way]) == [as_rates(one) for one in other[way]]
    for gallery in document["identification"]:
        for at in gallery["at"]:
            loops = plain_loops.identification(images, at["threshold"], gallery["gallery"])
            assert (at["dir_rank_1"], at["fpir"]) == (near(loops.dir_rank_1), near(loops.fpir))
            people = at["over_people"]
            assert (people["dir_rank_1"], people["fpir"]) == (near(loops.dir_over_people), near(loops.fpir_over_people))
            rate = plain_loops.row(images, at["threshold"])["fmr"]
            assert at["n_times_fmr"] == pytest.approx(gallery["gallery"] * rate, rel=2e-3)


def compare_galleries(document: dict[str, Any], images: Images) -> int:
    """Compare each gallery with the loops; return the number of those that have a threshold."""
    low = [row["threshold"] for row in document["calibration"]["table"] if row["fmr"] <= galleries.HIGHEST_FMR]
    levels = sorted({*low, *(one["threshold"] for one in document["at"])})
    known = 0
    for row in document["galleries"]:
        group = plain_loops.part(images, row["group"])

        def search(level: float, row: Any = row, group: Images = group) -> plain_loops.Identified:
            return plain_loops.identification(group, level, row["gallery"], references=row["references"])

        if row["threshold"] is None:
            assert (row["dir_rank_1"], row["fpir"]) == (None, None)
            found = search(levels[0])
            assert found.fpir_over_people > row["target_fpir"] or found.probes_with_a_match < 3
            continue
        known += 1
        found = search(row["threshold"])
        assert found.probes_with_a_match >= 3
        assert row["fpir"] == near(found.fpir_over_people)
        assert row["fpir"] <= row["target_fpir"]
        assert row["dir_rank_1"] == near(found.dir_over_people)
        larger = levels[levels.index(row["threshold"]) + 1 :][:1]
        assert all(search(level).fpir_over_people > row["target_fpir"] for level in larger)
    return known


def test_all_numbers_of_a_folder(
    folder: Path, evaluated: Evaluated, vectors: Callable[[Path], tuple[float, ...]]
) -> None:
    document = evaluated(folder)

    files = sorted(folder.glob("*/*.png"))
    with (folder / "groups.csv").open(encoding="utf-8") as file:
        groups = {row["person"]: row["group"] for row in csv.DictReader(file)}
    images = Images([vectors(file) for file in files], [file.parent.name for file in files], groups)
    compare(document, images)
    compare_people(document, images)
    assert document["groups"]["people"] == {"F": 5, "M": 4}
    assert document["groups"]["people_without_one"] == 1
    assert document["acquisition"] | {"left_out": {}} == {
        "people": 10,
        "people_with_a_face": 10,
        "people_with_two": 10,
        "images": 30,
        "measured": 30,
        "failure_to_acquire": {"images": 0, "rate": 0.0, "by_reason": {}},
        "failure_to_enrol": {"images": 0, "rate": 0.0, "by_reason": {}},
        "left_out": {},
        "shared_images": 0,
        "lookalike_pairs": 0,
    }


def invented(metric: str, *, people: int = 13, images: int = 7, scale: float = 1.0) -> tuple[Images, MeasuredImages]:
    """Return vectors of people who overlap: every rate is between 0 and 1."""
    chance = np.random.default_rng(11)
    counts = [1 + (one * 3) % images for one in range(people)]
    person = np.repeat(np.arange(people), counts)
    middles = chance.normal(size=(people, 16)) * 0.11
    made = (middles[person] + chance.normal(size=(len(person), 16)) * 0.06 + 0.1) * scale
    if metric == "cosine":
        made /= np.sqrt((made**2).sum(axis=1, keepdims=True))
    groups = {str(one): ("old", "young", "x y")[one % 3] for one in range(people) if one % 5}
    listed = [tuple(map(float, vector)) for vector in made]
    acquired = MeasuredImages(
        vectors=made,
        place=np.arange(len(person)),
        person=person,
        images=len(person),
        not_acquired=Counter(),
        not_enrolled=Counter(),
        tried=TriedImages(person, dict.fromkeys(PhotoUse, (None,) * len(person))),
        unreadable=0,
        repeated=0,
        shared=(),
        measured=len(person),
        known=0,
        seconds=1.0,
    )
    return Images(listed, [str(one) for one in person], groups, metric), acquired


def card_with(metric: str) -> Card:
    """Return the toy's card with another metric."""
    return replace(toy_card(), metric=cast("Any", metric))


def report(images: Images, acquired: MeasuredImages, metric: str, listed: ListedPairs | None = None) -> dict[str, Any]:
    """Return the report of measured images."""
    people = sorted(set(images.people), key=int)
    labels = tuple(sorted(set(images.groups.values())))
    of_person = np.array([labels.index(images.groups[one]) if one in images.groups else -1 for one in people])
    samples = tuple(Sample(Path(str(n)), int(one)) for n, one in enumerate(acquired.person))
    trial = Trial(Folder(Path(), tuple(people), samples), Groups(labels, of_person), listed)
    stated = state("invented", "yes")
    asked = EvaluationRequest(
        root=Path(), stated=stated, name="t", workers=1, resamples=100, most_references=4, most_bytes=1
    )
    source = service._source(trial, acquired, card_with(metric))
    counted = service.compute_results(asked, trial, source, NearestStrangers(20), lambda _doing: None)
    return document.build_report(asked, trial, acquired, card_with(metric), counted, now=NOW)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_all_numbers_of_both_metrics(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "BLOCK", 5)  # several blocks, the last one smaller
    monkeypatch.setattr(rates, "TARGETS", (0.05, 0.01))
    monkeypatch.setattr(galleries, "FPIR_TARGETS", (0.4, 0.2))
    monkeypatch.setattr(galleries, "HIGHEST_FMR", 0.1)
    images, acquired = invented(metric)

    document = report(images, acquired, metric)

    compare(document, images)
    compare_people(document, images)
    assert compare_galleries(document, images) > 10
    assert {row["references"] for row in document["galleries"]} == {1, 2, 3}
    assert {row["group"] for row in document["galleries"]} == {None, "old", "x y", "young"}
    assert len(document["at"]) > 1
    assert len(document["identification"]) > 1
    assert set(document["groups"]["impostor_pairs"]) == {
        *("old/old", "old/x y", "old/young", "x y/x y", "x y/young", "young/young")
    }
    assert 0 < document["at"][-1]["fnmr"] < 1


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_only_listed_comparisons_are_counted(metric: str) -> None:
    images, acquired = invented(metric)
    chance = np.random.default_rng(5)
    places = range(len(images.people))
    every = [(a, b, images.people[a] == images.people[b]) for a in places for b in places if a < b]
    images.comparisons = [pair for pair in every if chance.random() < 0.4]
    folder = Folder(Path(), (), ())

    document = report(images, acquired, metric, ListedPairs(folder, tuple(images.comparisons), by_image=False))

    compare(document, images)
    assert (document["references"], document["identification"]) == (None, None)
    assert document["settings"]["comparisons"] == "listed"


def test_a_calibration_is_valid_on_a_card(folder: Path, evaluated: Evaluated) -> None:
    document = evaluated(folder)

    shipped = toy_card().as_document()
    own = document["calibration"] | {"fmr_by_origin": shipped["calibration"]["fmr_by_origin"]}
    calibration = parse_card(shipped | {"calibration": own}).calibration
    row = document["at"][0]
    (point,) = [one for one in calibration.points if one.threshold == row["threshold"]]
    assert point.fmr == row["fmr"]
    assert point.fmr_by_group.keys() == {"FF", "FM", "MM"}
    assert calibration.interval_near(row["threshold"]).fmr[0] <= row["fmr"]
    assert set(own) | {"references"} == set(real_calibration()) | {"supports"}
    assert set(own["trial"]) == set(real_calibration()["trial"])
    assert set(own["table"][0]) == set(real_calibration()["table"][0]) | {"over_people"}
    assert calibration.fnmr_over_people_at(point) == FnmrOverPeople(
        threshold=row["threshold"],
        fnmr=row["over_people"]["fnmr"],
        fnmr_by_group=row["over_people"]["fnmr_by_group"],
        ci95_by_person=row["over_people"]["ci95_by_person"]["fnmr"],
        trial=own["trial"]["name"],
        over_pairs=row["fnmr"],
    )


def real_calibration() -> dict[str, Any]:
    """Return the calibration of the default engine."""
    found: dict[str, Any] = load_card("face_recognition").as_document()["calibration"]
    return found


def test_a_distance_equal_to_the_threshold_is_no_match() -> None:
    # All distances are 0.5, or 1 between the ends: exact in binary, and so are these thresholds.
    source = ComparisonSource(np.array([[0.0], [0.5], [1.0]]), np.array([0, 0, 1]), "l2")
    tally = scores.tally(source, no_groups(2), 0.005)
    genuine, impostor = resampling.cells(source, (0.5, 1.0))

    at = {float(edge): place for place, edge in enumerate(tally.edges)}
    assert [int(tally.below(tally.genuine[0])[at[edge]]) for edge in (0.5, 0.5005)] == [0, 1]
    assert [int(tally.below(tally.impostor[0])[at[edge]]) for edge in (0.5, 0.5005, 1.0, 1.0005)] == [0, 1, 1, 2]
    assert (genuine.level.tolist(), genuine.count.tolist()) == ([1], [1])
    assert (impostor.level.tolist(), impostor.count.tolist()) == ([1], [1]), "that at 1 is below neither"


@pytest.mark.parametrize(("length", "step"), [(1.0, 0.005), (30.0, 0.05), (0.001, 0.005)])
def test_steps_are_wider_for_longer_vectors(length: float, step: float) -> None:
    assert scores.step_for(np.full((3, 4), length / 2), "l2") == pytest.approx(step)
    assert scores.step_for(np.full((3, 4), length), "cosine") == 0.005


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_distances_follow_their_definition(metric: Any) -> None:
    images, acquired = invented(metric, scale=3.0)
    matrix = scores.distances(acquired.vectors, acquired.vectors[:4], metric)
    pairs = scores.paired(acquired.vectors[:4], acquired.vectors[4:8], metric)

    for one in range(len(matrix)):
        for other in range(4):
            expected = images.distance(images.vectors[one], images.vectors[other])
            assert matrix[one, other] == pytest.approx(expected, abs=1e-7)
    for place in range(4):
        expected = images.distance(images.vectors[place], images.vectors[4 + place])
        assert pairs[place] == pytest.approx(expected, abs=1e-12)
