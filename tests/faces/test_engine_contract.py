"""The contract of every engine. A new engine joins the parameters of ``case``."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from app.faces.cards.card import Card, load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.cards.select import select_card
from app.faces.engine import Engine, Pixels
from app.faces.vectors import distance
from app.faces.workers import decode, worker
from app.faces.workers.converted_network import CONVERTED_ENGINE, use_converted
from app.main import CUSTOM_ENGINES, ENGINES
from tests.faces.custom_networks import calibrate, write_card, write_fused_card
from tests.support import toy_engine
from tests.support.toy_faces import toy_photo


class Case:
    """An engine and photos for it."""

    def __init__(self, spec: str, card: Card, photos: dict[str, bytes]) -> None:
        self.spec = spec
        self.card = card
        self.engine: Engine = worker.load_engine(spec, card.digests, card.settings)
        self.photos = photos

    def pixels(self, name: str) -> Pixels:
        """Return a photo as the worker decodes it for the engine."""
        picture = decode.decode(
            self.photos[name], max_pixels=25_000_000, side=self.engine.side, reduce=self.engine.reduce
        )
        assert isinstance(picture, decode.Picture)
        return picture.pixels


@pytest.fixture(scope="module", params=["toy", *ENGINES, "converted", "custom", "fused"])
def case(
    request: pytest.FixtureRequest, image: Callable[[str], bytes], tmp_path_factory: pytest.TempPathFactory
) -> Case:
    if request.param == "toy":
        photos = {"one": toy_photo(1), "again": toy_photo(1, variant=2), "two": toy_photo(1, 2), "none": toy_photo()}
        return Case(toy_engine.SPEC, toy_engine.toy_card(), photos)
    names = {
        "one": "people/P001/studio_portrait.jpg",
        "again": "people/P001/amateur_selfie.jpg",
        "two": "awkward/multi_2_people.jpg",
        "none": "awkward/noface_cat.jpg",
    }
    photos = {key: image(name) for key, name in names.items()}
    if request.param in ENGINES:
        loaded = Case(ENGINES[request.param], load_card(request.param), photos)
    elif request.param == "converted":
        card = use_converted(load_card("face_recognition"), tmp_path_factory.mktemp("data"))
        assert card.not_converted is None
        loaded = Case(CONVERTED_ENGINE, card, photos)
    else:
        # SFace as the network of an operator.
        write = write_card if request.param == "custom" else write_fused_card
        settings = calibrate(write(tmp_path_factory.mktemp("custom") / "own"))
        loaded = Case(CUSTOM_ENGINES[settings.engine_kind], select_card(settings), photos)
    decode.harden()
    return loaded


def test_the_engine_is_the_one_on_its_card(case: Case) -> None:
    engine, card = case.engine, case.card

    assert (engine.id, engine.dimensions, engine.weights_sha256) == (card.id, card.dimensions, card.weights_sha256)


def test_its_files_are_those_on_the_card(case: Case) -> None:
    assert type(case.engine).weights_files(case.card.settings).keys() == case.card.digests.keys()


def test_another_hash_does_not_load(case: Case) -> None:
    for name in case.card.digests:
        with pytest.raises(worker.RefusedError, match="weights_differ"):
            worker.load_engine(case.spec, {**case.card.digests, name: "0" * 64}, case.card.settings)


def test_a_file_that_is_not_on_the_card_does_not_load(case: Case) -> None:
    with pytest.raises(worker.RefusedError, match="weights_differ"):
        worker.load_engine(case.spec, dict(list(case.card.digests.items())[1:]), case.card.settings)


@pytest.mark.parametrize(("name", "faces"), [("one", 1), ("again", 1), ("two", 2), ("none", 0)])
def test_every_face_is_found(case: Case, name: str, faces: int) -> None:
    assert len(case.engine.detect(case.pixels(name))) == faces


def test_the_landmarks_of_a_face_are_inside_its_box(case: Case) -> None:
    (face,) = case.engine.detect(case.pixels("one"))
    top, right, bottom, left = face.box
    parts = [*face.points, *face.eyes, face.nose]

    assert all(left <= x <= right and top <= y <= bottom for x, y in parts)
    assert face.eyes[0][0] < face.nose[0] < face.eyes[1][0]
    assert face.nose[1] > max(eye[1] for eye in face.eyes)


def test_a_vector_is_finite_and_has_the_dimensions_of_the_card(case: Case) -> None:
    pixels = case.pixels("one")
    vector = case.engine.embed(pixels, case.engine.detect(pixels)[0])

    assert len(vector) == case.engine.dimensions
    assert all(math.isfinite(value) for value in vector)
    assert case.card.metric == "l2" or math.isclose(math.hypot(*vector), 1)


def test_the_same_picture_gives_the_same_vector(case: Case) -> None:
    pixels = case.pixels("one")
    face = case.engine.detect(pixels)[0]

    assert list(case.engine.embed(pixels, face)) == list(case.engine.embed(pixels.copy(), face))


def test_two_pictures_of_one_person_match_at_the_default_threshold(case: Case) -> None:
    one, again = (
        tuple(case.engine.embed(pixels, case.engine.detect(pixels)[0]))
        for pixels in (case.pixels("one"), case.pixels("again"))
    )

    assert distance(one, again, metric=case.card.metric) < find_operating_point(case.card).threshold


def test_the_engine_does_not_write_to_the_picture(case: Case) -> None:
    pixels = case.pixels("one").copy()
    before = pixels.copy()
    case.engine.embed(pixels, case.engine.detect(pixels)[0])

    assert np.array_equal(pixels, before)


def test_a_loaded_engine_starts_no_thread(case: Case) -> None:
    pixels = case.pixels("one")
    threads = Path("/proc/self/task")
    before = list(threads.iterdir())
    case.engine.embed(pixels, case.engine.detect(pixels)[0])

    assert list(threads.iterdir()) == before
