"""Rates over people, the largest gallery, and the pairs whose labels the operator should check."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.evaluation import scores
from app.evaluation.resampling import Draws, mean_bounds
from app.evaluation.scores import ComparisonSource
from app.evaluation.summary import describe_galleries, describe_supports
from app.faces.cards.supports import GalleryRate, LargestGallery, Supports
from tests.evaluation.conftest import Command, make_folder, toy_people
from tests.support.toy_faces import toy_photo

Evaluated = Callable[..., dict[str, Any]]


def test_a_person_with_most_photos_decides_the_rate_over_pairs_only(evaluated: Evaluated, tmp_path: Path) -> None:
    people = toy_people(9, 2)
    people["person 09"] = [toy_photo(9, variant=one) for one in range(10)]
    document = evaluated(make_folder(tmp_path / "trial", people))

    genuine = 9 + 45
    assert document["calibration"]["largest_person_share"] == pytest.approx(45 / genuine, rel=1e-3)
    assert "One person has 83 % of the genuine pairs, so that person decides as much" in " ".join(document["warnings"])
    assert document["calibration"]["counted_over"] == "pairs; over_people: people"


def test_the_folder_of_that_person_is_named_on_the_terminal_only(command: Command, tmp_path: Path) -> None:
    people = toy_people(9, 2)
    people["Zoë"] = [toy_photo(9, variant=one) for one in range(10)]
    result = command(make_folder(tmp_path / "trial", people))

    assert result.exit_code == 0, result.output
    assert "no folder has more genuine pairs than this one: 'Zoë'" in result.stderr
    for file in (tmp_path / "report").iterdir():
        assert "Zoë" not in file.read_text("utf-8")


def test_no_person_is_named_if_none_has_a_tenth_of_the_pairs(command: Command, tmp_path: Path) -> None:
    result = command(make_folder(tmp_path / "trial", toy_people(11, 3)))

    assert "more genuine pairs" not in result.stderr
    assert "One person has" not in result.stderr


def test_two_folders_of_one_person_are_listed_the_nearest_first(command: Command, tmp_path: Path) -> None:
    people = toy_people(8, 3)
    people["other name"] = [toy_photo(3, variant=2), toy_photo(3, variant=7)]
    folder = make_folder(tmp_path / "trial", people)
    result = command(folder)

    assert result.exit_code == 0, result.output
    listed = [line for line in result.stderr.splitlines() if "check the labels" in line]
    assert listed
    assert all("/other name/" in line and "/person 03/" in line for line in listed)
    document = json.loads((tmp_path / "report" / "evaluation.json").read_text("utf-8"))
    assert document["acquisition"]["lookalike_pairs"] == len(listed)
    assert f"{len(listed)} pairs of two people are nearer" in " ".join(document["warnings"])
    assert "other name" not in json.dumps(document)
    fewer = command(folder, "--most-lookalikes", "1", "--force")
    assert [line for line in fewer.stderr.splitlines() if "check the labels" in line] == listed[:1]


def test_the_same_photo_with_other_bytes_looks_like_one_photo(command: Command, tmp_path: Path) -> None:
    people = toy_people(8, 3)
    same = people["person 03"][0]
    people["other name"] = [same + b"\0", toy_photo(30)]  # bytes after the end of a PNG change no pixel
    result = command(make_folder(tmp_path / "trial", people))

    assert "check the labels: one photo? " in result.stderr
    assert "the same image twice" not in result.stderr


def test_the_same_bytes_are_named_once(command: Command, tmp_path: Path) -> None:
    people = toy_people(8, 3)
    people["other name"] = [people["person 03"][0], toy_photo(30)]
    result = command(make_folder(tmp_path / "trial", people))

    assert "the same image twice" in result.stderr
    assert "one photo?" not in result.stderr


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_bin_is_found_as_by_a_search(metric: Any) -> None:
    vectors = np.random.default_rng(3).normal(size=(40, 8))
    edges = scores._edges(ComparisonSource(vectors, np.arange(40), metric), 0.005)
    distance = np.concatenate((edges, np.nextafter(edges, 0)[1:], np.nextafter(edges, 9), [0.0]))

    assert (scores._place(edges, distance) == np.searchsorted(edges, distance, side="right")).all()


def test_the_interval_of_a_mean_leaves_out_people_without_a_rate() -> None:
    rates = np.array([[0.0, 1.0], [1.0, 1.0], [np.nan, 1.0]])

    first, second = mean_bounds(rates, Draws(2000, 4))

    assert (first, second) == ((0.0, 1.0), (1.0, 1.0))
    assert mean_bounds(np.full((3, 1), np.nan), Draws(100, 4)) == [None]


def supports(*rows: tuple[str | None, int, int, float | None], fpir: float = 0.001) -> Supports:
    """Return a table of galleries: group, references, size, DIR."""
    names = ("group", "references", "gallery", "dir")
    return Supports(
        source="a test", fpir=fpir, galleries=tuple(GalleryRate(**dict(zip(names, row, strict=True))) for row in rows)
    )


@pytest.mark.parametrize(
    ("tried", "references", "expected"),
    [
        (supports((None, 1, 10, 0.99), (None, 1, 100, 0.96)), 1, (100, None)),
        (supports((None, 1, 10, 0.99), (None, 1, 100, 0.95)), 1, (10, None)),
        (supports((None, 1, 10, 0.94), (None, 1, 100, 0.99)), 1, (0, None)),
        (supports((None, 1, 10, None)), 1, (0, None)),
        (supports((None, 1, 100, 0.99), ("F", 1, 10, 0.99), ("F", 1, 30, 0.8)), 1, (10, "F")),
        (supports((None, 2, 100, 0.99), ("F", 2, 10, None)), 2, (0, "F")),
        (supports((None, 1, 100, 0.99), (None, 3, 1000, 0.99)), 2, (100, None)),
        (supports((None, 1, 100, 0.99), (None, 3, 1000, 0.99)), 5, (1000, None)),
        (supports((None, 2, 100, 0.99)), 1, (0, None)),
        (supports((None, 1, 100, 0.99), fpir=0.01), 1, (0, None)),
        (supports(), 1, (0, None)),
    ],
)
def test_the_worst_group_decides_the_largest_gallery(
    tried: Supports, references: int, expected: tuple[int, str | None]
) -> None:
    assert tried.largest_gallery(references) == LargestGallery(*expected)


def test_the_largest_gallery_is_told_with_its_group() -> None:
    tried = supports((None, 1, 100, 0.99), (None, 2, 100, 0.99), ("F", 1, 30, 0.5), ("F", 2, 30, 0.97))

    (lines,) = describe_supports({"calibration": {"supports": tried.model_dump()}}).values()

    assert lines == ["1 enrolled, none (group F)", "2 enrolled, 30 people (group F)"]


def test_each_gallery_has_a_row_and_each_number_of_references_a_column() -> None:
    def row(group: str | None, references: int, found: float | None) -> dict[str, Any]:
        bounds = None if found is None else {"dir_rank_1": [0.5, 1.0]}
        names = {"group": group, "gallery": 10, "references": references, "target_fpir": 0.001}
        return {**names, "dir_rank_1": found, "ci95_by_person": bounds}

    (table,) = describe_galleries({"galleries": [row(None, 1, 0.9), row(None, 2, 1.0), row("F", 1, None)]})

    assert (table.fpir, table.references) == ("0.1 %", [1, 2])
    assert table.rows == [
        ("10 people", [("90 %", "50 % to 100 %"), ("100 %", "50 % to 100 %")]),
        ("10 people of F", [("not shown", ""), ("", "")]),
    ]
