"""Engines compared by their cards."""

import json

import pytest
from typer.testing import CliRunner

from app.cli.program import app
from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import load_card, shipped_cards
from app.faces.cards.compare import compare_engines
from app.faces.cards.supports import FPIR


def test_engines_are_compared_at_the_same_rate() -> None:
    found = compare_engines(shipped_cards(), target_fmr=1e-4, target_group=TargetGroup.ALL, gallery=100)
    misses = {one.card.id: one.at.point.fnmr for one in found if one.at}

    assert [one.at.target_fmr for one in found if one.at] == [1e-4, 1e-4]
    assert misses["face_recognition"] > 40 * misses["sface"]


def test_without_a_rate_each_engine_has_its_default() -> None:
    found = compare_engines(shipped_cards(), target_fmr=None, target_group=None, gallery=100)

    assert [one.at.target_fmr for one in found if one.at] == [one.default_target_fmr for one in shipped_cards()]


@pytest.mark.parametrize("gallery", [1, 10, 100, 400])
def test_a_larger_gallery_needs_a_lower_rate(gallery: int) -> None:
    (found,) = compare_engines([load_card("sface")], target_fmr=None, target_group=None, gallery=gallery)

    assert found.gallery is not None
    assert found.gallery.point.fmr * gallery <= FPIR


def test_a_rate_that_the_trial_does_not_support_has_a_reason_and_no_figures() -> None:
    (found,) = compare_engines([load_card("sface")], target_fmr=1e-7, target_group=None, gallery=1000)

    assert found.at is None
    assert found.gallery is None
    assert "supports no false match rate" in str(found.unsupported)


def test_the_command_prints_the_numbers_of_the_cards() -> None:
    printed = CliRunner().invoke(app, ["engines", "list"], env={"COLUMNS": "400"}).stdout
    listed = json.loads(CliRunner().invoke(app, ["engines", "list", "--gallery", "100", "--json"]).stdout)

    assert all(
        one in printed
        for one in ("face_recognition", "sface", "0.52 (l2)", "0.54 (cosine)", "Asian-F 0.18, Asian-M 0.14")
    )
    assert [one["at"]["threshold"] for one in listed["engines"]] == [0.52, 0.54]
    assert [one["gallery"]["threshold"] for one in listed["engines"]] == [0.415, 0.505]


@pytest.mark.parametrize("rate", ["0", "1", "-1", "nan"])
def test_an_invalid_rate_is_refused(rate: str) -> None:
    done = CliRunner().invoke(app, ["engines", "list", "--target-fmr", rate])

    assert done.exit_code == 1
    assert "above 0 and below 1" in done.stderr
