"""A threshold is a false match rate on a named trial."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.faces.cards import card_of, load_card
from tests.toy_engine import toy_card

CARD = load_card("face_recognition")


def test_the_card_says_that_nobody_in_the_training_data_agreed() -> None:
    assert not CARD.depicted_people_agreed
    assert "scraped" in CARD.training_data
    assert CARD.licence


def test_the_card_names_every_file_and_which_are_used() -> None:
    files = {file["name"]: file["used"] for file in CARD.as_document()["files"]}

    assert CARD.digests.keys() == files.keys()
    assert not files["shape_predictor_68_face_landmarks.dat"]
    assert CARD.weights_sha256 == CARD.digests["dlib_face_recognition_resnet_model_v1.dat"]


def test_the_threshold_for_one_in_a_thousand() -> None:
    point = CARD.threshold_at(1e-3)

    assert (point.threshold, point.fmr, point.fnmr) == (0.54, 0.000906, 0.05751)
    assert point.fmr_by_group["FF"] > point.fmr


@given(st.floats(min_value=1.61e-7, max_value=0.99))
def test_a_threshold_never_exceeds_its_rate_and_is_the_largest_that_does_not(target: float) -> None:
    point = CARD.threshold_at(target)
    larger = [other for other in CARD.calibration.points if other.threshold > point.threshold]

    assert point.fmr <= target
    assert all(other.fmr > target for other in larger)


@pytest.mark.parametrize("target", [0.0, -1.0, 1.0, 2.0, 1e-7, 1e-9, float("nan")])
def test_a_rate_that_the_trial_does_not_support_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="LFW"):
        CARD.threshold_at(target)


def test_the_worst_group_is_told() -> None:
    by_origin = CARD.calibration.fmr_by_origin["thresholds"]["0.543"]

    assert max(by_origin, key=by_origin.__getitem__) == "Asian-F"
    assert by_origin["Asian-F"] > 100 * by_origin["White-M"]


def test_the_intervals_are_told() -> None:
    assert all(low < high for point in CARD.calibration.intervals for low, high in (point.fmr, point.fnmr))


def test_the_document_holds_everything_and_is_a_copy() -> None:
    document = CARD.as_document()
    document["calibration"]["table"].clear()

    assert len(CARD.as_document()["calibration"]["table"]) == len(CARD.calibration.points) == 81
    assert json.loads(json.dumps(CARD.as_document()))["weights_sha256"] == CARD.weights_sha256


@pytest.mark.parametrize("engine_id", ["nobody", "../pool", ""])
def test_an_engine_without_a_card_has_none(engine_id: str) -> None:
    with pytest.raises(LookupError):
        load_card(engine_id)


@pytest.mark.parametrize("missing", ["licence", "training_data", "depicted_people_agreed", "calibration", "files"])
def test_a_card_that_leaves_something_out_is_none(missing: str) -> None:
    document = CARD.as_document()
    del document[missing]

    with pytest.raises(KeyError):
        card_of(document)


def test_the_toy_has_a_card_with_the_default_threshold() -> None:
    assert toy_card().threshold_at(1e-3).threshold == 0.54
