"""Awkward and hostile pictures: each gets its answer from a worker within its time limit, and leaves no file behind.

The real service, over HTTP, with the default engine in its workers.
"""

from functools import partial

import pytest

from app.faces.flaws import PHOTO_REFUSALS
from tests.rest import pictures
from tests.rest.conftest import RealService, slug

FILES = {
    "blur_heavy.jpg": "no-face",
    "broken_text.jpg": "unsupported-image",
    "broken_truncated.jpg": "undecodable-image",
    "cartoon_smiley.png": "no-face",
    "dark.jpg": "poor-quality",
    "huge_144MP_1bit.png": "undecodable-image",
    "mask_P001.jpg": "poor-quality",
    "multi_10_people.jpg": "several-faces",
    "multi_2_people.jpg": "several-faces",
    "multi_big_and_small.jpg": "several-faces",
    "noface_back_of_head_1.jpg": "no-face",
    "noface_cat.jpg": "no-face",
    "sunglasses_P003.jpg": "poor-quality",
    "tiny_32px.png": "no-face",
    "turned_P001.jpg": "poor-quality",
    "turned_P003.jpg": "poor-quality",
}
REFUSED: dict[str, tuple[pictures.Make, str]] = {
    **{name: (partial(pictures.awkward, name), expected) for name, expected in FILES.items()},
    **{name: (make, "undecodable-image") for name, make in pictures.BROKEN.items()},
    **{name: (make, "unsupported-image") for name, make in pictures.OTHER.items()},
    **{name: (make, "no-face") for name, make in pictures.NO_FACE.items()},
}
STATUS = {kind.slug: kind.status for kind in PHOTO_REFUSALS}


def test_every_awkward_picture_has_an_expected_answer() -> None:
    files = {path.name for path in (pictures.IMAGES / "awkward").iterdir()}

    assert files == set(FILES)
    assert {expected for _, expected in REFUSED.values()} == set(STATUS)


@pytest.mark.parametrize("name", REFUSED)
def test_an_unusable_picture_gets_its_problem(real: RealService, name: str) -> None:
    make, expected = REFUSED[name]
    photo, before, workers = make(), real.files(), real.workers()

    probed, enrolled = real.probe(photo), real.enrol(photo)

    assert (name, *slug(probed)) == (name, STATUS[expected], expected)
    assert (name, *slug(enrolled)) == (name, STATUS[expected], expected)
    assert [(one["index"], one["slug"]) for one in enrolled.json()["photos"]] == [(0, expected)]
    assert real.workers() == workers, "no picture used up the time or the memory of a worker"
    assert real.files() == before
    assert real.service.client.get("/readyz").json()["status"] == "ready"


@pytest.mark.parametrize("name", pictures.GOOD)
def test_an_unusual_picture_is_accepted(real: RealService, name: str) -> None:
    photo, before, workers = pictures.GOOD[name](), real.files(), real.workers()

    probed, enrolled = real.probe(photo), real.enrol(photo)

    assert (name, probed.status_code, probed.json().get("decision")) == (name, 200, "match")
    assert (name, enrolled.status_code) == (name, 201)
    assert real.workers() == workers, "no picture used up the time or the memory of a worker"
    assert real.files() == before


def test_one_unusable_photo_refuses_all_and_each_is_named(real: RealService) -> None:
    photos = [pictures.face(), pictures.awkward("dark.jpg"), b"text", pictures.awkward("noface_cat.jpg")]
    sent = [("photos", (str(index), photo)) for index, photo in enumerate(photos)]

    answer = real.enroller("POST", "/v1/me/enrolments", data={"consent_id": real.consent_id}, files=sent)
    named = [(one["index"], one["slug"]) for one in answer.json()["photos"]]

    assert slug(answer) == (422, "poor-quality")
    assert named == [(1, "poor-quality"), (2, "unsupported-image"), (3, "no-face")]


def test_a_face_is_still_matched_after_hostile_pictures(real: RealService) -> None:
    for name in ("bomb in iCCP", "bomb of 400 megapixels", "JPEG of zeros"):
        assert slug(real.probe(pictures.BROKEN[name]()))[1] == "undecodable-image"

    assert real.probe(pictures.face("emo_happy")).json()["decision"] == "match"
    assert real.probe(pictures.face("emo_happy", "P003")).json()["decision"] == "no_match"
    assert list(real.temporary.iterdir()) == []
