"""The answer to an enrolment has the gain from another photo, in the figures of the engine's card only."""

from pathlib import Path
from typing import Any, cast

import pytest

from app.enrolment.more_photos import MorePhotos, advise, count_asked_for
from app.faces.cards.card import Card, load_card, parse_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.permit import Purpose
from app.faces.service import RunningEngine
from app.faces.workers.pool import EnginePool
from app.settings import Settings
from app.templates.policy import MAX_PHOTOS
from tests.support.service_fixture import SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

ROWS = [{"references": count, "fnmr_of_mean": {"0.001": 0.08 / count}} for count in (1, 2, 3)]


def running(card: Card, target_fmr: float | None = None) -> RunningEngine:
    """Return an engine in force that measures nothing."""
    point = find_operating_point(card, target_fmr)
    unused = cast("EnginePool", None)
    return RunningEngine(pool=unused, card=card, target_fmr=point.target_fmr, threshold=point.threshold)


def card_with(references: dict[str, Any] | None) -> Card:
    """Return the toy's card with rows of references, or without."""
    document = toy_card().as_document()
    document["calibration"]["references"] = references
    return parse_card(document)


@pytest.mark.parametrize("engine_id", ["face_recognition", "sface"])
@pytest.mark.parametrize(("photos", "more"), [(1, 2), (2, 3), (3, 5)])
def test_both_figures_are_rows_of_the_card(engine_id: str, photos: int, more: int) -> None:
    card = load_card(engine_id)
    references = card.as_document()["calibration"]["references"]
    if people := references.get("over_people"):
        on_card = {row["references"]: {people["fmr"]: row["fnmr_of_mean"]} for row in people["rows"]}
    else:
        on_card = {
            row["references"]: {float(rate): fnmr for rate, fnmr in row["fnmr_of_mean"].items()}
            for row in references["rows"]
        }

    advice = advise(running(card), photos=photos, asked_for=2)

    assert advice is not None
    assert (advice.photos, advice.more_photos) == (photos, more)
    assert (advice.fnmr, advice.fnmr_with_more) == (on_card[photos][advice.at_fmr], on_card[more][advice.at_fmr])
    assert advice.fnmr > advice.fnmr_with_more
    assert advice.at_fmr == card.default_target_fmr
    assert advice.counted_over == ("people" if people else "pairs")
    assert advice.trial in advice.in_words
    assert ("This service asks for 2." in advice.in_words) == (photos < 2)


@pytest.mark.parametrize("photos", [4, MAX_PHOTOS])
def test_without_figures_for_that_number_there_is_no_advice(photos: int) -> None:
    """The trial has no row for four, and no enrolment takes more than five."""
    assert advise(running(load_card("sface")), photos=photos, asked_for=2) is None


def test_figures_of_a_distant_rate_are_no_advice() -> None:
    assert advise(running(load_card("sface"), 1e-2), photos=1, asked_for=2) is None


def test_figures_over_pairs_are_used_where_none_over_people_are_near() -> None:
    advice = advise(running(load_card("sface"), 1e-5), photos=1, asked_for=2)

    assert advice is not None
    assert (advice.counted_over, advice.at_fmr) == ("pairs", 1e-5)
    assert "over all pairs" in advice.in_words


def test_a_card_without_references_gives_no_advice() -> None:
    assert advise(running(card_with(None)), photos=1, asked_for=2) is None


@pytest.mark.parametrize(
    ("purposes", "asked_for"),
    [
        ({Purpose.VERIFICATION}, 2),
        ({Purpose.VERIFICATION, Purpose.TEMPLATE_RENEWAL}, 2),
        ({Purpose.VERIFICATION, Purpose.IDENTIFICATION}, 3),
    ],
)
def test_identification_asks_for_more(purposes: set[Purpose], asked_for: int) -> None:
    assert count_asked_for(Settings(), frozenset(purposes)) == asked_for


@pytest.mark.parametrize("name", ["enrol_photos", "identification_photos"])
def test_no_setting_asks_for_more_photos_than_an_enrolment_takes(name: str) -> None:
    assert Settings.model_validate({name: MAX_PHOTOS})
    with pytest.raises(ValueError, match=name):
        Settings.model_validate({name: MAX_PHOTOS + 1})


@pytest.mark.service
def test_one_photo_is_enough_and_the_answer_has_the_gain_from_another(root: Path, pool: SharedPool) -> None:
    card = card_with({"trial": "invented", "rows": ROWS})
    with serving(root, pool, card, enrol_photos=3, identification_photos=4) as service:
        person, party = service.person(), service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION)
        first, second = service.consent(person, party), service.consent(person, party, "identification")
        one = enrol(person, [first["consent_id"]], [toy_photo(1)])
        two = enrol(person, [second["consent_id"]], [toy_photo(1), toy_photo(1, variant=1)])
        three = enrol(person, [first["consent_id"]], [toy_photo(1, variant=variant) for variant in range(3)])
        same = enrol(person, [first["consent_id"]], [toy_photo(1)] * 3)

    assert [answer.status_code for answer in (one, two, three, same)] == [201] * 4
    advice = one.json()["more_photos"]
    words = advice.pop("in_words")
    expected = MorePhotos(
        photos=1,
        asked_for=3,
        fnmr=0.08,
        more_photos=2,
        fnmr_with_more=0.04,
        at_fmr=1e-3,
        counted_over="pairs",
        trial="invented",
    )
    assert words == expected.in_words
    assert advice == {name: getattr(expected, name) for name in advice}
    assert (two.json()["more_photos"]["asked_for"], two.json()["more_photos"]["more_photos"]) == (4, 3)
    assert three.json()["more_photos"] is None
    assert (len(same.json()["photos"]), same.json()["more_photos"]["photos"]) == (3, 1)
