"""A poor photo is refused with an instruction to the person; a good one is accepted for people of any skin."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from app.faces import quality
from app.faces.cards.card import load_card
from app.faces.engine import Face, Pixels
from app.faces.engines.face_recognition import FaceRecognition
from app.faces.flaws import Flaw
from app.faces.permit import Permit, PhotoUse
from app.faces.workers import pipeline
from app.faces.workers.messages import QUALITY_NAMES, Measurement
from app.faces.workers.pool import MAX_PIXELS, EnginePool

_IMAGES = Path(__file__).parents[1] / "images"
_GOOD = sorted(str(path.relative_to(_IMAGES)) for path in _IMAGES.glob("people/*/*.jpg"))
Check = Callable[[bytes], Measurement | Flaw]
GOOD = {
    "brightness": 180.0,
    "glare": 0.0,
    "eye_distance": 60.0,
    "sharpness": 0.2,
    "yaw": 0.02,
    "foreshortening": 0.75,
    "eye_detail": 0.4,
    "upright": 9.0,
    "eyes_visible": 5.0,
    "mouth_visible": 7.0,
}


class FindingEngine(FaceRecognition):
    """Finds faces as the default engine does, but does not describe them, which takes most of the time."""

    def embed(self, pixels: Pixels, face: Face) -> list[float]:
        """Return the same vector for every face."""
        return [1.0] * self.dimensions


@pytest.fixture(scope="module")
def check() -> Check:
    """Return the pipeline of a worker, in this process."""
    card = load_card("face_recognition")
    engine = FindingEngine(card.digests, card.settings)
    return lambda photo: pipeline.measure(engine, photo, keep_photo=False, max_pixels=MAX_PIXELS)


def changed(image: bytes, change: Callable[[Image.Image], Image.Image]) -> bytes:
    out = io.BytesIO()
    change(Image.open(io.BytesIO(image)).convert("RGB")).save(out, "PNG", compress_level=1)
    return out.getvalue()


def test_the_photos_of_all_people_are_good(check: Check, image: Callable[[str], bytes]) -> None:
    refused = {name: answer for name in _GOOD if not isinstance(answer := check(image(name)), Measurement)}

    assert len(_GOOD) == 18
    assert refused == {}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("dark.jpg", Flaw.TOO_DARK),
        ("mask_P001.jpg", Flaw.COVERED),
        ("sunglasses_P003.jpg", Flaw.COVERED),
        ("turned_P001.jpg", Flaw.TURNED_AWAY),
        ("turned_P003.jpg", Flaw.TURNED_AWAY),
        ("multi_2_people.jpg", Flaw.SEVERAL_FACES),
        ("multi_big_and_small.jpg", Flaw.SEVERAL_FACES),
        ("blur_heavy.jpg", Flaw.NO_FACE),
        ("tiny_32px.png", Flaw.NO_FACE),
        ("noface_cat.jpg", Flaw.NO_FACE),
        ("noface_back_of_head_1.jpg", Flaw.NO_FACE),
        ("cartoon_smiley.png", Flaw.NO_FACE),
        ("broken_truncated.jpg", Flaw.BROKEN),
        ("broken_text.jpg", Flaw.UNSUPPORTED),
        ("huge_144MP_1bit.png", Flaw.TOO_MANY_PIXELS),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_awkward_photo_is_refused_with_its_flaw(
    check: Check, image: Callable[[str], bytes], name: str, code: Flaw
) -> None:
    assert check(image(f"awkward/{name}")) == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda photo: photo.filter(ImageFilter.GaussianBlur(4)), Flaw.BLURRED),
        (lambda photo: ImageEnhance.Brightness(photo).enhance(0.15), Flaw.TOO_DARK),
        (lambda photo: ImageEnhance.Brightness(photo).enhance(3), Flaw.TOO_BRIGHT),
        (lambda photo: photo.resize((photo.width // 4, photo.height // 4)), Flaw.TOO_SMALL),
    ],
    ids=["blurred", "dark", "bright", "small"],
)
def test_a_good_photo_made_poor_is_refused(
    check: Check, image: Callable[[str], bytes], change: Callable[[Image.Image], Image.Image], code: Flaw
) -> None:
    assert check(changed(image("people/P003/amateur_selfie.jpg"), change)) == code


@pytest.mark.parametrize("person", ["P004", "P006", "P007"])
def test_half_the_light_is_enough_for_darker_skin(check: Check, image: Callable[[str], bytes], person: str) -> None:
    photo = changed(image(f"people/{person}/amateur_selfie.jpg"), lambda it: ImageEnhance.Brightness(it).enhance(0.5))

    assert isinstance(check(photo), Measurement)


@pytest.mark.parametrize("person", ["P001", "P004", "P006", "P007"])
def test_deep_set_eyes_in_shade_are_not_covered(check: Check, image: Callable[[str], bytes], person: str) -> None:
    """A fifth of the light falls on the eyes: less than on the cheeks, on any skin."""
    shaded = changed(image(f"people/{person}/studio_portrait.jpg"), shade_eyes)

    answer = check(shaded)
    assert isinstance(answer, Measurement)
    assert answer.quality["eye_detail"] > 1.5 * quality.MIN_EYE_DETAIL


def shade_eyes(photo: Image.Image) -> Image.Image:
    """Return *photo* with a soft shade over both eyes."""
    (face,) = FindingEngine(*(getattr(load_card("face_recognition"), name) for name in ("digests", "settings"))).detect(
        np.asarray(photo)
    )
    rows, columns = np.mgrid[: photo.height, : photo.width]
    unit = np.hypot(*np.subtract(*face.eyes))
    light = np.ones(rows.shape)
    for x, y in face.eyes:
        light -= 0.8 * np.exp(-(((columns - x) / (0.45 * unit)) ** 4) - ((rows - y) / (0.3 * unit)) ** 4)
    return Image.fromarray((np.asarray(photo) * light.clip(0.2)[..., None]).astype(np.uint8))


def test_a_beard_covers_no_face_in_a_worker_of_the_default_engine(
    real_pool: EnginePool, permit: Permit, image: Callable[[str], bytes]
) -> None:
    (bearded,) = real_pool.measure(permit, [image("people/P005/studio_portrait.jpg")])
    assert isinstance(bearded, Measurement)

    assert bearded.quality["mouth_visible"] > 1


def test_the_measures_are_those_in_the_messages() -> None:
    assert GOOD.keys() == QUALITY_NAMES
    assert [quality.find_flaw(GOOD, use) for use in PhotoUse] == [None, None]


@pytest.mark.parametrize(
    ("measure", "value", "code"),
    [
        ("brightness", quality.MIN_BRIGHTNESS - 1, Flaw.TOO_DARK),
        ("glare", quality.MAX_GLARE + 0.01, Flaw.TOO_BRIGHT),
        ("eye_distance", quality.MIN_EYE_DISTANCE - 1, Flaw.TOO_SMALL),
        ("sharpness", quality.MIN_SHARPNESS / 2, Flaw.BLURRED),
        ("yaw", quality.MAX_YAW[PhotoUse.PROBE] + 0.01, Flaw.TURNED_AWAY),
        ("yaw", -quality.MAX_YAW[PhotoUse.PROBE] - 0.01, Flaw.TURNED_AWAY),
        ("foreshortening", quality.MAX_FORESHORTENING + 0.01, Flaw.TURNED_AWAY),
        ("eye_detail", quality.MIN_EYE_DETAIL - 0.01, Flaw.COVERED),
        ("upright", quality.MIN_UPRIGHT - 0.01, Flaw.NOT_UPRIGHT),
        ("eyes_visible", quality.MIN_EYES_VISIBLE - 0.01, Flaw.COVERED),
        ("mouth_visible", quality.MIN_MOUTH_VISIBLE - 0.01, Flaw.COVERED),
    ],
)
def test_each_limit_alone_refuses(measure: str, value: float, code: Flaw) -> None:
    assert [quality.find_flaw({**GOOD, measure: value}, use) for use in PhotoUse] == [code, code]


@pytest.mark.parametrize("yaw", [0.26, -0.34])
def test_a_probe_may_show_a_face_turned_further_than_a_photo_to_enrol(yaw: float) -> None:
    assert quality.find_flaw({**GOOD, "yaw": yaw}, PhotoUse.PROBE) is None
    assert quality.find_flaw({**GOOD, "yaw": yaw}, PhotoUse.ENROLMENT) is Flaw.TURNED_AWAY


@given(st.sampled_from(sorted(QUALITY_NAMES - {"yaw", "glare", "foreshortening"})), st.floats(1, 100))
def test_a_higher_value_of_a_good_measure_is_good(measure: str, times: float) -> None:
    assert quality.find_flaw({**GOOD, measure: GOOD[measure] * times}, PhotoUse.ENROLMENT) is None


@pytest.mark.parametrize("code", Flaw)
def test_every_flaw_has_an_instruction_for_the_person(code: Flaw) -> None:
    assert code.problem.status == (415 if code.slug == "unsupported-image" else 422)
    assert code.detail.count(".") >= 2
    assert code.slug in {
        "unsupported-image",
        "undecodable-image",
        "no-face",
        "several-faces",
        "poor-quality",
    }
