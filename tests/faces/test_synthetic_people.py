"""The engines on photos of synthetic people: matches, non-matches, and a false match."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import psutil
import pytest

from app.faces.cards.card import Card, load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.main import ENGINES
from tests.faces.conftest import distance, pool_of

pytestmark = pytest.mark.slow

PEOPLE = [f"P00{number}" for number in range(1, 8)]
DIFFERENT = ["P001", "P003", "P005", "P007"]
"""The others resemble one another."""


@dataclass(frozen=True)
class MeasuredPhotos:
    """An engine, and its answers to the photos of all people."""

    card: Card
    pool: EnginePool
    answers: dict[tuple[str, str], object]

    def match(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Decide at the default threshold."""
        apart = distance(self.answers[one], self.answers[other], self.card.metric)
        return apart < find_operating_point(self.card).threshold


@pytest.fixture(scope="module", params=ENGINES)
def measured(request: pytest.FixtureRequest, image: Callable[[str], bytes]) -> Iterator[MeasuredPhotos]:
    names = [(who, what) for who in PEOPLE for what in ("amateur_selfie", "studio_portrait")]
    names += [(who, "emo_happy") for who in DIFFERENT]
    photos = [image(f"people/{who}/{what}.jpg") for who, what in names]
    with pool_of(request.param) as pool:
        answers = pool.measure(Permit(grant_ids=()), photos)
        yield MeasuredPhotos(load_card(request.param), pool, dict(zip(names, answers, strict=True)))


@pytest.mark.parametrize("person", PEOPLE)
def test_a_portrait_matches_a_selfie_of_the_same_person(measured: MeasuredPhotos, person: str) -> None:
    assert measured.match((person, "studio_portrait"), (person, "amateur_selfie"))


@pytest.mark.parametrize("person", DIFFERENT)
def test_a_smile_still_matches(measured: MeasuredPhotos, person: str) -> None:
    assert measured.match((person, "studio_portrait"), (person, "emo_happy"))


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_different_people_never_match(measured: MeasuredPhotos, one: str, other: str) -> None:
    mine = [name for name in measured.answers if name[0] == one]
    theirs = [name for name in measured.answers if name[0] == other]

    assert not any(measured.match(a, b) for a in mine for b in theirs)


def test_two_similar_people_match_falsely(measured: MeasuredPhotos) -> None:
    assert measured.match(("P004", "studio_portrait"), ("P006", "studio_portrait"))


def test_both_workers_give_the_same_answer(measured: MeasuredPhotos, image: Callable[[str], bytes]) -> None:
    photo = image("people/P001/studio_portrait.jpg")
    again = [measured.pool.measure(Permit(grant_ids=()), [photo])[0] for _ in range(4)]

    assert {answer.vector for answer in again if isinstance(answer, Measurement)} == {
        measured.answers["P001", "studio_portrait"].vector  # type: ignore[attr-defined]
    }


def test_a_worker_has_one_thread(measured: MeasuredPhotos) -> None:
    workers = [child for child in psutil.Process().children() if "app.faces.workers.worker" in child.cmdline()]

    assert len(workers) >= measured.pool.status().workers
    assert {worker.num_threads() for worker in workers} == {1}


def test_the_weights_are_verified_and_the_sandbox_is_reported(measured: MeasuredPhotos) -> None:
    status = measured.pool.status()

    assert len(measured.answers) == 18
    assert (status.ready, status.engine, status.weights_verified) == (True, measured.card.id, True)
    assert status.sandbox == "full" or status.missing


@pytest.mark.parametrize(
    ("file", "slug"),
    [
        ("multi_2_people.jpg", "several-faces"),
        ("multi_10_people.jpg", "several-faces"),
        ("multi_big_and_small.jpg", "several-faces"),
        ("noface_cat.jpg", "no-face"),
        ("cartoon_smiley.png", "no-face"),
        ("dark.jpg", "poor-quality"),
        ("mask_P001.jpg", "poor-quality"),
        ("sunglasses_P003.jpg", "poor-quality"),
    ],
)
def test_both_engines_refuse_an_awkward_photo_alike(
    measured: MeasuredPhotos, image: Callable[[str], bytes], file: str, slug: str
) -> None:
    (answer,) = measured.pool.measure(Permit(grant_ids=()), [image(f"awkward/{file}")])

    assert getattr(answer, "slug", None) == slug


@pytest.mark.parametrize(
    "file", ["turned_P001.jpg", "turned_P003.jpg", "noface_back_of_head_1.jpg", "tiny_32px.png", "blur_heavy.jpg"]
)
def test_a_photo_in_which_only_one_engine_finds_a_face_is_refused_by_both(
    measured: MeasuredPhotos, image: Callable[[str], bytes], file: str
) -> None:
    (answer,) = measured.pool.measure(Permit(grant_ids=()), [image(f"awkward/{file}")])

    assert getattr(answer, "slug", None) in {"no-face", "poor-quality"}
