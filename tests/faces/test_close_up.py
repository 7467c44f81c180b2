"""A face that is small in its picture is cut out, then measured at its own resolution."""

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image, ImageFilter

from app.faces.cards.card import load_card
from app.faces.engine import Engine
from app.faces.flaws import Flaw
from app.faces.vectors import distance
from app.faces.workers import decode, pipeline, worker
from app.faces.workers.messages import Measurement
from app.main import ENGINES

MAX_PIXELS = 25_000_000
Face = Callable[[str], Image.Image]
Place = tuple[Image.Image, tuple[int, int]]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    card = load_card(request.param)
    decode.harden()
    return worker.load_engine(ENGINES[request.param], card.digests, card.settings)


@pytest.fixture(scope="module")
def portrait(image: Callable[[str], bytes]) -> Face:
    """Return a function that makes a portrait of 540 px, in which the face is about 240 px wide."""

    def make(person: str) -> Image.Image:
        opened = Image.open(io.BytesIO(image(f"people/{person}/studio_portrait.jpg"))).convert("RGB")
        opened.thumbnail((540, 540))
        return opened

    return make


def framed(size: tuple[int, int], places: Sequence[Place]) -> bytes:
    """Return a large, soft frame with pictures in it."""
    noise = np.random.default_rng(1).integers(110, 140, (20, 20, 3), dtype=np.uint8)
    frame = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    for picture, at in places:
        frame.paste(picture, at)
    out = io.BytesIO()
    frame.save(out, "JPEG", quality=90)
    return out.getvalue()


def measured(engine: Engine, photo: bytes, *, keep_photo: bool = False) -> Measurement | Flaw:
    return pipeline.measure(engine, photo, keep_photo=keep_photo, max_pixels=MAX_PIXELS)


def distance_between(engine: Engine, one: Measurement, other: Measurement) -> float:
    return distance(one.vector, other.vector, metric=load_card(engine.id).metric)


@pytest.mark.parametrize("size", [(4000, 3000), (1080, 10_000), (8000, 1500)])
def test_a_sharp_face_in_a_large_frame_is_measured_as_if_it_were_alone(
    engine: Engine, portrait: Face, size: tuple[int, int]
) -> None:
    alone = measured(engine, framed((600, 600), [(portrait("P001"), (30, 30))]))
    found = measured(engine, framed(size, [(portrait("P001"), (size[0] // 2 - 300, size[1] // 3))]), keep_photo=True)
    assert isinstance(alone, Measurement)
    assert isinstance(found, Measurement)
    assert found.photo is not None

    assert distance_between(engine, alone, found) < 0.2
    assert found.quality["eye_distance"] == pytest.approx(alone.quality["eye_distance"], rel=0.25)
    assert found.quality["sharpness"] > 0.05
    again = measured(engine, found.photo)
    assert isinstance(again, Measurement), "the kept photo shows the face alone, so it can be measured again"
    assert distance_between(engine, alone, again) < 0.25


def test_a_blurred_face_in_a_large_frame_is_refused(engine: Engine, portrait: Face) -> None:
    blurred = portrait("P001").filter(ImageFilter.GaussianBlur(16))

    assert measured(engine, framed((4000, 3000), [(blurred, (1700, 900))])) in {Flaw.BLURRED, Flaw.NO_FACE}


def test_two_small_faces_in_a_large_frame_are_refused(engine: Engine, portrait: Face) -> None:
    both = [(portrait("P001"), (500, 900)), (portrait("P003"), (2700, 900))]
    near = [(portrait("P001"), (1500, 900)), (portrait("P003"), (2040, 900))]

    assert measured(engine, framed((4000, 3000), both)) is Flaw.SEVERAL_FACES
    assert measured(engine, framed((4000, 3000), near)) is Flaw.SEVERAL_FACES


def test_a_large_frame_without_a_face_has_none(engine: Engine, image: Callable[[str], bytes]) -> None:
    cat = Image.open(io.BytesIO(image("awkward/noface_cat.jpg"))).convert("RGB").resize((4000, 2660))

    for photo in (framed((4000, 3000), []), framed((4000, 2660), [(cat, (0, 0))])):
        assert measured(engine, photo) is Flaw.NO_FACE
    assert "cut the picture to your face" in Flaw.NO_FACE.detail
