"""The default engine on people who do not exist: what matches, what does not, and what wrongly does."""

from collections.abc import Callable
from itertools import combinations

import pytest

from app.faces.cards import load_card
from app.faces.permit import Permit
from app.faces.pool import EnginePool, Measured
from tests.faces.conftest import distance

THRESHOLD = load_card("face_recognition").threshold_at(1e-3).threshold
PEOPLE = [f"P00{number}" for number in range(1, 8)]
DIFFERENT = ["P001", "P003", "P005", "P007"]
"""The others resemble one another."""

Answers = dict[tuple[str, str], object]


@pytest.fixture(scope="module")
def answers(real_pool: EnginePool, image: Callable[[str], bytes]) -> Answers:
    names = [(who, what) for who in PEOPLE for what in ("amateur_selfie", "studio_portrait")]
    names += [(who, "emo_happy") for who in DIFFERENT]
    permit = Permit(grant_ids=())
    photos = [image(f"people/{who}/{what}.jpg") for who, what in names]
    return dict(zip(names, real_pool.measure(permit, photos), strict=True))


@pytest.mark.parametrize("person", PEOPLE)
def test_a_portrait_matches_a_selfie_of_the_same_person(answers: Answers, person: str) -> None:
    assert distance(answers[person, "studio_portrait"], answers[person, "amateur_selfie"]) < THRESHOLD


@pytest.mark.parametrize("person", DIFFERENT)
def test_a_smile_changes_nothing(answers: Answers, person: str) -> None:
    assert distance(answers[person, "studio_portrait"], answers[person, "emo_happy"]) < THRESHOLD


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_different_people_never_match(answers: Answers, one: str, other: str) -> None:
    mine = [answer for (who, _), answer in answers.items() if who == one]
    theirs = [answer for (who, _), answer in answers.items() if who == other]

    assert min(distance(a, b) for a in mine for b in theirs) >= THRESHOLD


def test_two_look_alikes_match_and_this_is_what_a_false_match_looks_like(answers: Answers) -> None:
    assert distance(answers["P004", "studio_portrait"], answers["P006", "studio_portrait"]) < THRESHOLD


def test_both_workers_give_the_same_answer(
    real_pool: EnginePool, answers: Answers, image: Callable[[str], bytes]
) -> None:
    again = [real_pool.measure(Permit(grant_ids=()), [image("people/P001/studio_portrait.jpg")])[0] for _ in range(4)]

    assert {answer.vector for answer in again if isinstance(answer, Measured)} == {
        answers["P001", "studio_portrait"].vector  # type: ignore[attr-defined]
    }


def test_the_default_engine_is_verified(real_pool: EnginePool, answers: Answers) -> None:
    status = real_pool.status()

    assert len(answers) == 18
    assert (status.ready, status.engine, status.weights_verified) == (True, "face_recognition", True)
