"""A small bystander in a probe is ignored: found, never measured. In a photo to enrol a second face is refused."""

import io
import uuid
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from app.faces.cards.card import load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.engine import Engine, Face
from app.faces.flaws import Flaw
from app.faces.permit import Permit, PhotoUse
from app.faces.quality import MIN_EYE_DISTANCE
from app.faces.vectors import distance
from app.faces.workers import decode, pipeline, worker
from app.faces.workers.messages import Measurement
from app.faces.workers.only_face import choose_only_face
from app.main import ENGINES
from tests.faces.conftest import MakePool
from tests.faces.counting_engine import SPEC

MAX_PIXELS = 25_000_000
PROBE, ENROLMENT = PhotoUse.PROBE, PhotoUse.ENROLMENT
MAIN, SMALL, HALF = 540, 100, 300
"""Sides of portraits: of a face of some 240 px, of one of some 45 px, and of one of more than half of 240 px."""
Place = tuple[str, int, tuple[int, int]]
"""Person, side of the portrait, and its position."""
Compose = Callable[..., bytes]


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Engine:
    return loaded(request.param)


@pytest.fixture(scope="module")
def sface() -> Engine:
    """Finds small faces too: the default engine looks for them only where it finds no larger one."""
    return loaded("sface")


@pytest.fixture(scope="module")
def compose(image: Callable[[str], bytes]) -> Compose:
    """Return a function that makes a picture of people's portraits, turned to the left as a whole."""

    def make(places: Sequence[Place], *, size: tuple[int, int] = (960, 720), turned: float = 0) -> bytes:
        noise = np.random.default_rng(1).integers(110, 140, (20, 20, 3), dtype=np.uint8)
        frame = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
        for person, side, at in places:
            portrait = Image.open(io.BytesIO(image(f"people/{person}/studio_portrait.jpg"))).convert("RGB")
            portrait.thumbnail((side, side))
            frame.paste(portrait, at)
        out = io.BytesIO()
        frame.rotate(turned, expand=True, fillcolor=(128, 128, 128)).save(out, "JPEG", quality=95)
        return out.getvalue()

    return make


def loaded(name: str) -> Engine:
    card = load_card(name)
    decode.harden()
    return worker.load_engine(ENGINES[name], card.digests, card.settings)


def measured(engine: Engine, photo: bytes, use: PhotoUse) -> Measurement | Flaw:
    return pipeline.measure(engine, photo, use=use, keep_photo=False, max_pixels=MAX_PIXELS)


def face(width: int, eyes: float) -> Face:
    """Return a face of this width, whose eyes are that far from each other."""
    points = ((0.0, 0.0), (eyes, 0.0))
    return Face((0, 100 + width, width, 100), (*points, (0.0, 0.0), *points), points, (0.0, 0.0))


@pytest.mark.parametrize("turned", [0, 25, 90, 180])
def test_a_probe_with_a_small_bystander_is_that_of_the_main_face(
    engine: Engine, compose: Compose, turned: float
) -> None:
    main = ("P001", MAIN, (40, 90))
    alone = measured(engine, compose([main]), ENROLMENT)
    probe = measured(engine, compose([main, ("P003", SMALL, (760, 300))], turned=turned), PROBE)
    assert isinstance(alone, Measurement)
    assert isinstance(probe, Measurement)

    card = load_card(engine.id)
    assert distance(alone.vector, probe.vector, metric=card.metric) < find_operating_point(card).threshold / 2


def test_a_second_face_in_a_photo_to_enrol_is_refused_however_small(sface: Engine, compose: Compose) -> None:
    photo = compose([("P001", MAIN, (40, 90)), ("P003", SMALL, (760, 300))])

    assert measured(sface, photo, ENROLMENT) is Flaw.SEVERAL_FACES


@pytest.mark.parametrize("side", [HALF, MAIN])
@pytest.mark.parametrize("use", PhotoUse)
def test_a_second_face_of_half_the_width_is_refused(engine: Engine, compose: Compose, side: int, use: PhotoUse) -> None:
    photo = compose([("P001", MAIN, (20, 90)), ("P003", side, (480, 90))], size=(1040, 720))

    assert measured(engine, photo, use) is Flaw.SEVERAL_FACES


def test_a_bystander_beside_a_face_that_is_cut_out_is_ignored(sface: Engine, compose: Compose) -> None:
    main, size = ("P001", MAIN, (1700, 1100)), (4000, 3000)
    alone = measured(sface, compose([main], size=size), ENROLMENT)
    near, far = ("P003", SMALL, (2170, 1300)), ("P005", SMALL, (300, 300))
    probe = measured(sface, compose([main, near, far], size=size), PROBE)
    assert isinstance(alone, Measurement)
    assert isinstance(probe, Measurement)

    assert distance(alone.vector, probe.vector, metric="cosine") < 0.1
    assert measured(sface, compose([main, near], size=size), ENROLMENT) is Flaw.SEVERAL_FACES
    assert measured(sface, compose([main, ("P003", MAIN, (2230, 1100))], size=size), PROBE) is Flaw.SEVERAL_FACES


def test_in_a_worker_one_face_is_judged_and_embedded(make_pool: MakePool, compose: Compose) -> None:
    pool = make_pool(engine=SPEC, card=load_card("sface"), timeout_s=30.0)
    probe, enrolment = (Permit(grant_ids=(uuid.uuid4(),), use=use) for use in (PROBE, ENROLMENT))
    main, small = ("P001", MAIN, (40, 90)), ("P003", SMALL, (760, 300))
    photos = [compose([main, small]), compose([main, small], turned=180), compose([main, ("P003", HALF, (600, 90))])]

    answers = [*pool.measure(probe, photos), *pool.measure(enrolment, photos), *pool.measure(probe, photos[:1])]

    refused = Flaw.SEVERAL_FACES
    assert [answer if isinstance(answer, Flaw) else answer.vector[0] for answer in answers] == [
        *(1.0, 2.0, refused),
        *(refused, refused, refused),
        3.0,
    ]
    assert all(answer.vector[1] > 100 for answer in answers if isinstance(answer, Measurement)), "the narrow one never"


@pytest.mark.parametrize("reduction", [1.0, 4.0])
@pytest.mark.parametrize(
    ("width", "eyes", "answer"),
    [
        (99, MIN_EYE_DISTANCE - 1, None),
        (99, MIN_EYE_DISTANCE, Flaw.SEVERAL_FACES),
        (100, MIN_EYE_DISTANCE - 1, Flaw.SEVERAL_FACES),
        (200, 90.0, Flaw.SEVERAL_FACES),
    ],
)
def test_a_bystander_is_small_in_the_original_and_under_half_as_wide(
    width: int, eyes: float, answer: Flaw | None, reduction: float
) -> None:
    main, other = face(200, 90.0), face(width, eyes / reduction)

    assert choose_only_face([other, main], PROBE, reduction=reduction) == (answer or main)
    assert choose_only_face([main, other], ENROLMENT, reduction=reduction) is Flaw.SEVERAL_FACES


def test_each_of_several_bystanders_counts() -> None:
    main, small, large = face(200, 90.0), face(40, 18.0), face(120, 50.0)

    for use in PhotoUse:
        assert choose_only_face([main], use, reduction=1.0) is main
        assert choose_only_face([], use, reduction=1.0) is Flaw.NO_FACE
    assert choose_only_face([small, main, small], PROBE, reduction=1.0) is main
    assert choose_only_face([small, main, large], PROBE, reduction=1.0) is Flaw.SEVERAL_FACES
