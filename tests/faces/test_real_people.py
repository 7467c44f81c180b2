"""The engines on people who do not exist: what matches, what does not, and what wrongly does."""

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
class Street:
    """An engine, and what it made of everybody's photos."""

    card: Card
    pool: EnginePool
    answers: dict[tuple[str, str], object]

    def match(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Decide at the threshold that is in force by default."""
        apart = distance(self.answers[one], self.answers[other], self.card.metric)
        return apart < find_operating_point(self.card).threshold


@pytest.fixture(scope="module", params=ENGINES)
def street(request: pytest.FixtureRequest, image: Callable[[str], bytes]) -> Iterator[Street]:
    names = [(who, what) for who in PEOPLE for what in ("amateur_selfie", "studio_portrait")]
    names += [(who, "emo_happy") for who in DIFFERENT]
    photos = [image(f"people/{who}/{what}.jpg") for who, what in names]
    with pool_of(request.param) as pool:
        answers = pool.measure(Permit(grant_ids=()), photos)
        yield Street(load_card(request.param), pool, dict(zip(names, answers, strict=True)))


@pytest.mark.parametrize("person", PEOPLE)
def test_a_portrait_matches_a_selfie_of_the_same_person(street: Street, person: str) -> None:
    assert street.match((person, "studio_portrait"), (person, "amateur_selfie"))


@pytest.mark.parametrize("person", DIFFERENT)
def test_a_smile_changes_nothing(street: Street, person: str) -> None:
    assert street.match((person, "studio_portrait"), (person, "emo_happy"))


@pytest.mark.parametrize(("one", "other"), list(combinations(DIFFERENT, 2)))
def test_different_people_never_match(street: Street, one: str, other: str) -> None:
    mine = [name for name in street.answers if name[0] == one]
    theirs = [name for name in street.answers if name[0] == other]

    assert not any(street.match(a, b) for a in mine for b in theirs)


def test_two_look_alikes_match_and_this_is_what_a_false_match_looks_like(street: Street) -> None:
    assert street.match(("P004", "studio_portrait"), ("P006", "studio_portrait"))


def test_both_workers_give_the_same_answer(street: Street, image: Callable[[str], bytes]) -> None:
    photo = image("people/P001/studio_portrait.jpg")
    again = [street.pool.measure(Permit(grant_ids=()), [photo])[0] for _ in range(4)]

    assert {answer.vector for answer in again if isinstance(answer, Measurement)} == {
        street.answers["P001", "studio_portrait"].vector  # type: ignore[attr-defined]
    }


def test_a_worker_is_one_thread(street: Street) -> None:
    workers = [child for child in psutil.Process().children() if "app.faces.workers.worker" in child.cmdline()]

    assert len(workers) >= street.pool.status().workers
    assert {worker.num_threads() for worker in workers} == {1}


def test_the_engine_is_verified_and_walled_in(street: Street) -> None:
    status = street.pool.status()

    assert len(street.answers) == 18
    assert (status.ready, status.engine, status.weights_verified) == (True, street.card.id, True)
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
def test_what_will_not_do_is_refused_by_either_engine_alike(
    street: Street, image: Callable[[str], bytes], file: str, slug: str
) -> None:
    (answer,) = street.pool.measure(Permit(grant_ids=()), [image(f"awkward/{file}")])

    assert getattr(answer, "slug", None) == slug


@pytest.mark.parametrize(
    "file", ["turned_P001.jpg", "turned_P003.jpg", "noface_back_of_head_1.jpg", "tiny_32px.png", "blur_heavy.jpg"]
)
def test_what_one_engine_sees_and_the_other_does_not_is_refused_all_the_same(
    street: Street, image: Callable[[str], bytes], file: str
) -> None:
    (answer,) = street.pool.measure(Permit(grant_ids=()), [image(f"awkward/{file}")])

    assert getattr(answer, "slug", None) in {"no-face", "poor-quality"}
