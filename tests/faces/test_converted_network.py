"""OpenCV runs a converted copy of dlib's network: the same numbers, made once, checked at each start, or not used."""

import io
import math
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.faces.cards.card import Card, load_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.engine import Engine
from app.faces.engines.converted_face_recognition import DETECTOR, NETWORK
from app.faces.engines.opencv import reduce_with_opencv
from app.faces.workers import pipeline
from app.faces.workers.converted_network import DIRECTORY, use_converted
from app.faces.workers.pool import MAX_PIXELS
from app.faces.workers.worker import RefusedError, load_engine
from app.kit.files import MARKER
from app.main import engine_of
from tests.architecture.source import ROOT
from tests.faces.conftest import distance

pytestmark = pytest.mark.service
CARD = load_card("face_recognition")
IMAGES = Path(__file__).parents[1] / "images"
CLOSE = 0.03
"""Distance from the threshold within which another reduction may change a decision."""
PHOTOS = sorted((*IMAGES.glob("people/*/*.jpg"), *IMAGES.glob("awkward/m*.jpg"), *IMAGES.glob("awkward/turned*.jpg")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """Return the card with a copy in force."""
    return use_converted(CARD, tmp_path_factory.mktemp("made"))


def loaded(card: Card) -> Engine:
    return load_engine(engine_of(card), card.digests, card.settings)


def copy_of(card: Card) -> Path:
    return Path(card.settings["converted"]) / NETWORK


def test_each_number_of_each_synthetic_face_is_that_of_dlib(made: Card) -> None:
    opencv = loaded(made)
    original = loaded(CARD)
    apart = []
    for photo in PHOTOS:
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        faces = original.detect(pixels)
        assert opencv.detect(pixels) == faces
        apart += [np.subtract(opencv.embed(pixels, face), original.embed(pixels, face)) for face in faces]

    assert opencv.weights_sha256 == original.weights_sha256
    assert len(apart) >= len(PHOTOS)
    assert float(np.abs(apart).max()) < 1e-4
    assert max(map(np.linalg.norm, apart)) < 1e-5


def test_decisions_stay_as_they_were_with_dlib_and_pillow(made: Card) -> None:
    threshold = find_operating_point(CARD).threshold
    photos = [one_megapixel(photo) for photo in sorted(IMAGES.glob("people/*/*.jpg"))]
    before, now = (
        [pipeline.measure(engine, photo, keep_photo=False, max_pixels=MAX_PIXELS) for photo in photos]
        for engine in map(loaded, (CARD, made))
    )
    pairs = list(combinations(range(len(photos)), 2))
    apart = {pair: distance(before[pair[0]], before[pair[1]]) for pair in pairs}
    apart_now = {pair: distance(now[pair[0]], now[pair[1]]) for pair in pairs}
    stable = [pair for pair in pairs if abs(apart[pair] - threshold) > CLOSE]

    assert len(stable) >= len(pairs) - 5
    assert [pair for pair in stable if (apart[pair] < threshold) is not (apart_now[pair] < threshold)] == []
    assert max(abs(apart[pair] - apart_now[pair]) for pair in pairs) < 0.1


def one_megapixel(photo: Path) -> bytes:
    """Return the photo enlarged, so that it has to be reduced."""
    with Image.open(photo) as opened:
        scale, out = math.sqrt(1e6 / (opened.width * opened.height)), io.BytesIO()
        opened.resize((round(opened.width * scale), round(opened.height * scale))).save(out, "JPEG", quality=90)
    return out.getvalue()


def test_a_reduction_below_half_the_size_skips_no_pixel() -> None:
    fine = np.zeros((400, 600, 3), dtype=np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 200

    for size in ((300, 200), (150, 100), (70, 50)):
        reduced = reduce_with_opencv(fine, size)

        assert reduced.shape == (size[1], size[0], 3)
        assert np.abs(reduced.astype(int) - 100).max() <= 2


def test_a_worker_whose_engine_needs_no_opencv_does_not_load_it() -> None:
    modules = "app.faces.workers.worker, tests.support.toy_engine, app.faces.engines.face_recognition"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {modules}; print('cv2' in sys.modules)"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )

    assert done.stdout == "False\n"


def test_only_its_owner_can_read_the_copy_and_it_is_made_once(made: Card) -> None:
    copy = copy_of(made)
    before = copy.stat()

    assert made.document["converted"]["used"]
    assert made.converted.items() <= made.digests.items()
    assert made.converted[copy.name] == sha256(copy.read_bytes()).hexdigest()
    assert stat.S_IMODE(before.st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert use_converted(CARD, copy.parents[1]) == made
    assert copy.stat() == before


def cut(copy: Path) -> None:
    copy.write_bytes(copy.read_bytes()[:-1])


def change(copy: Path) -> None:
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)


def lead_elsewhere(copy: Path) -> None:
    elsewhere = copy.parents[1] / "elsewhere"
    copy.rename(elsewhere)
    copy.symlink_to(elsewhere)


def stretch(copy: Path) -> None:
    with copy.open("r+b") as file:
        file.truncate(1 << 40)


@pytest.mark.parametrize("damage", [cut, change, lead_elsewhere, stretch, Path.unlink])
def test_a_damaged_copy_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    card = use_converted(CARD, tmp_path)
    good = copy_of(card).read_bytes()
    damage(copy_of(card))
    copy_of(card).with_name(".left-by-a-kill").write_bytes(b"")

    assert use_converted(CARD, tmp_path) == card
    assert copy_of(card).read_bytes() == good
    assert not copy_of(card).is_symlink()
    assert {file.name for file in copy_of(card).parent.iterdir()} == {MARKER, NETWORK, DETECTOR}


def test_a_copy_that_changes_after_the_check_does_not_load(tmp_path: Path) -> None:
    card = use_converted(CARD, tmp_path)
    change(copy_of(card))

    with pytest.raises(RefusedError, match="weights_differ"):
        loaded(card)


def test_several_starts_at_once_share_one_copy(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        cards = list(pool.map(lambda _: use_converted(CARD, tmp_path), range(3)))

    assert all(card == cards[0] for card in cards)
    assert cards[0].not_converted is None
    loaded(cards[0])


def occupy(data: Path) -> None:
    (data / DIRECTORY).mkdir()
    (data / DIRECTORY / "of the operator").touch()


def put_a_file(data: Path) -> None:
    (data / DIRECTORY).touch()


@pytest.mark.parametrize("hinder", [occupy, put_a_file])
def test_without_a_place_for_a_copy_dlib_runs_the_network_and_the_reason_is_told(
    hinder: Callable[[Path], None], tmp_path: Path
) -> None:
    hinder(tmp_path)
    card = use_converted(CARD, tmp_path)

    assert card == replace(CARD, not_converted=card.not_converted)
    assert str(tmp_path / DIRECTORY) in str(card.not_converted)


def test_a_directory_in_place_of_a_copy_is_named(tmp_path: Path) -> None:
    copy = copy_of(use_converted(CARD, tmp_path))
    copy.unlink()
    copy.mkdir()
    card = use_converted(CARD, tmp_path)

    assert card.digests == CARD.digests
    assert f"the directory {NETWORK} is in the way" in str(card.not_converted)
    assert copy.is_dir()


def test_a_copy_with_another_hash_than_on_the_card_is_not_kept(tmp_path: Path) -> None:
    other = replace(CARD, converted={**CARD.converted, NETWORK: "0" * 64})
    card = use_converted(other, tmp_path)

    assert card.digests == CARD.digests
    assert "not the one on the card" in str(card.not_converted)
    assert not list(tmp_path.rglob("*.onnx*"))


def test_a_conversion_that_fails_is_told_without_the_command(tmp_path: Path) -> None:
    card = use_converted(replace(CARD, converted={"unknown.onnx": "0" * 64, **CARD.converted}), tmp_path)

    assert str(card.not_converted).endswith("unknown.onnx cannot be converted on this machine")


def test_an_engine_without_a_converted_network_is_left_as_it_is(tmp_path: Path) -> None:
    assert use_converted(load_card("sface"), tmp_path) == load_card("sface")
    assert not list(tmp_path.iterdir())
