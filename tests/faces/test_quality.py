"""A poor photo is refused with what to do about it; a good one is not, whoever is in it."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from app.faces import quality
from app.faces.flaws import Flaw, FlawCode
from app.faces.permit import Permit
from app.faces.workers.messages import QUALITY_NAMES
from app.faces.workers.pool import EnginePool, Measured

_IMAGES = Path(__file__).parents[1] / "images"
_GOOD = sorted(str(path.relative_to(_IMAGES)) for path in _IMAGES.glob("people/*/*.jpg"))
GOOD = {
    "brightness": 180.0,
    "glare": 0.0,
    "eye_distance": 60.0,
    "sharpness": 0.2,
    "yaw": 0.02,
    "foreshortening": 0.75,
    "eye_shade": 0.5,
    "mouth_tint": 0.08,
}


def changed(image: bytes, change: Callable[[Image.Image], Image.Image]) -> bytes:
    out = io.BytesIO()
    change(Image.open(io.BytesIO(image)).convert("RGB")).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_the_photos_of_all_people_are_good(
    real_pool: EnginePool, permit: Permit, image: Callable[[str], bytes]
) -> None:
    answers = real_pool.measure(permit, [image(name) for name in _GOOD])
    refused = {name: answer for name, answer in zip(_GOOD, answers, strict=True) if not isinstance(answer, Measured)}

    assert len(_GOOD) == 18
    assert refused == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dark.jpg", FlawCode.TOO_DARK),
        ("mask_P001.jpg", FlawCode.COVERED),
        ("sunglasses_P003.jpg", FlawCode.COVERED),
        ("turned_P001.jpg", FlawCode.TURNED_AWAY),
        ("turned_P003.jpg", FlawCode.TURNED_AWAY),
        ("multi_2_people.jpg", FlawCode.SEVERAL_FACES),
        ("multi_big_and_small.jpg", FlawCode.SEVERAL_FACES),
        ("blur_heavy.jpg", FlawCode.NO_FACE),
        ("tiny_32px.png", FlawCode.NO_FACE),
        ("noface_cat.jpg", FlawCode.NO_FACE),
        ("noface_back_of_head_1.jpg", FlawCode.NO_FACE),
        ("cartoon_smiley.png", FlawCode.NO_FACE),
        ("broken_truncated.jpg", FlawCode.BROKEN),
        ("broken_text.jpg", FlawCode.UNSUPPORTED),
        ("huge_144MP_1bit.png", FlawCode.TOO_MANY_PIXELS),
    ],
)
def test_an_awkward_photo_is_refused_for_what_it_is(
    real_pool: EnginePool, permit: Permit, image: Callable[[str], bytes], name: str, code: FlawCode
) -> None:
    assert real_pool.measure(permit, [image(f"awkward/{name}")]) == [Flaw(code)]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda photo: photo.filter(ImageFilter.GaussianBlur(4)), FlawCode.BLURRED),
        (lambda photo: ImageEnhance.Brightness(photo).enhance(0.15), FlawCode.TOO_DARK),
        (lambda photo: ImageEnhance.Brightness(photo).enhance(3), FlawCode.TOO_BRIGHT),
        (lambda photo: photo.resize((photo.width // 4, photo.height // 4)), FlawCode.TOO_SMALL),
    ],
    ids=["blurred", "dark", "bright", "small"],
)
def test_a_good_photo_made_poor_is_refused(
    real_pool: EnginePool,
    permit: Permit,
    image: Callable[[str], bytes],
    change: Callable[[Image.Image], Image.Image],
    code: FlawCode,
) -> None:
    photo = changed(image("people/P003/amateur_selfie.jpg"), change)

    assert real_pool.measure(permit, [photo]) == [Flaw(code)]


@pytest.mark.parametrize("person", ["P004", "P006", "P007"])
def test_half_the_light_is_light_enough_for_darker_skin(
    real_pool: EnginePool, permit: Permit, image: Callable[[str], bytes], person: str
) -> None:
    photo = changed(image(f"people/{person}/amateur_selfie.jpg"), lambda it: ImageEnhance.Brightness(it).enhance(0.5))

    assert isinstance(real_pool.measure(permit, [photo])[0], Measured)


def test_a_beard_is_no_covering(real_pool: EnginePool, permit: Permit, image: Callable[[str], bytes]) -> None:
    (bearded,) = real_pool.measure(permit, [image("people/P005/studio_portrait.jpg")])
    assert isinstance(bearded, Measured)

    assert bearded.quality["mouth_tint"] < quality.MOST_TINT / 2


def test_the_measures_are_those_that_cross_the_wire(toy_pool: EnginePool) -> None:
    assert toy_pool.status().engine == "toy"
    assert GOOD.keys() == QUALITY_NAMES
    assert quality.verdict(GOOD) is None


@pytest.mark.parametrize(
    ("measure", "value", "code"),
    [
        ("brightness", quality.DARKEST_HIGHLIGHT - 1, FlawCode.TOO_DARK),
        ("glare", quality.MOST_GLARE + 0.01, FlawCode.TOO_BRIGHT),
        ("eye_distance", quality.SMALLEST_EYE_DISTANCE - 1, FlawCode.TOO_SMALL),
        ("sharpness", quality.LEAST_SHARPNESS / 2, FlawCode.BLURRED),
        ("yaw", quality.MOST_YAW + 0.01, FlawCode.TURNED_AWAY),
        ("yaw", -quality.MOST_YAW - 0.01, FlawCode.TURNED_AWAY),
        ("foreshortening", quality.MOST_FORESHORTENING + 0.01, FlawCode.TURNED_AWAY),
        ("eye_shade", quality.DARKEST_EYES - 0.01, FlawCode.COVERED),
        ("mouth_tint", quality.MOST_TINT + 0.01, FlawCode.COVERED),
    ],
)
def test_each_limit_alone_refuses(measure: str, value: float, code: FlawCode) -> None:
    assert quality.verdict({**GOOD, measure: value}) is code


@given(st.sampled_from(sorted(QUALITY_NAMES - {"yaw", "glare", "foreshortening", "mouth_tint"})), st.floats(1, 100))
def test_more_of_a_good_thing_is_still_good(measure: str, times: float) -> None:
    assert quality.verdict({**GOOD, measure: GOOD[measure] * times}) is None


@pytest.mark.parametrize("code", FlawCode)
def test_every_flaw_tells_the_person_what_to_do(code: FlawCode) -> None:
    flaw = Flaw(code)

    assert flaw.status == (415 if code is FlawCode.UNSUPPORTED else 422)
    assert flaw.detail.count(".") >= 2
    assert flaw.slug in {
        "unsupported-image",
        "undecodable-image",
        "no-face",
        "several-faces",
        "poor-quality",
    }
