"""OpenCV runs a converted copy of dlib's network: the same numbers, made once, checked at each start, or not used."""

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.faces.cards.card import Card, ConvertedNetwork, load_card
from app.faces.workers.converted_network import DIRECTORY, use_converted
from app.faces.workers.worker import RefusedError, load_engine
from app.kit.files import MARKER
from app.main import ENGINES

pytestmark = pytest.mark.service
CARD = load_card("face_recognition")
IMAGES = Path(__file__).parents[1] / "images"
PHOTOS = sorted((*IMAGES.glob("people/*/*.jpg"), *IMAGES.glob("awkward/m*.jpg"), *IMAGES.glob("awkward/turned*.jpg")))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Card:
    """Return the card with a copy in force."""
    return use_converted(CARD, tmp_path_factory.mktemp("made"))


def copy_of(card: Card) -> Path:
    return Path(card.settings["network"])


def test_each_number_of_each_synthetic_face_is_that_of_dlib(made: Card) -> None:
    opencv = load_engine(ENGINES[made.id], made.digests, made.settings)
    original = load_engine(ENGINES[CARD.id], CARD.digests, CARD.settings)
    apart = []
    for photo in PHOTOS:
        pixels = np.asarray(Image.open(photo).convert("RGB"))
        faces = original.detect(pixels)
        apart += [np.subtract(opencv.embed(pixels, face), original.embed(pixels, face)) for face in faces]

    assert opencv.weights_sha256 == original.weights_sha256
    assert len(apart) >= len(PHOTOS)
    assert float(np.abs(apart).max()) < 1e-4
    assert max(map(np.linalg.norm, apart)) < 1e-5


def test_only_its_owner_can_read_the_copy_and_it_is_made_once(made: Card) -> None:
    copy = copy_of(made)
    before = copy.stat()

    assert made.document["converted"] == {
        "name": copy.name,
        "sha256": sha256(copy.read_bytes()).hexdigest(),
        "used": True,
    }
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


@pytest.mark.parametrize("damage", [cut, change, lead_elsewhere, Path.unlink])
def test_a_damaged_copy_is_made_again(damage: Callable[[Path], None], tmp_path: Path) -> None:
    card = use_converted(CARD, tmp_path)
    good = copy_of(card).read_bytes()
    damage(copy_of(card))
    copy_of(card).with_name(".left-by-a-kill").write_bytes(b"")

    assert use_converted(CARD, tmp_path) == card
    assert copy_of(card).read_bytes() == good
    assert not copy_of(card).is_symlink()
    assert {file.name for file in copy_of(card).parent.iterdir()} == {MARKER, copy_of(card).name}


def test_a_copy_that_changes_after_the_check_does_not_load(tmp_path: Path) -> None:
    card = use_converted(CARD, tmp_path)
    change(copy_of(card))

    with pytest.raises(RefusedError, match="weights_differ"):
        load_engine(ENGINES[card.id], card.digests, card.settings)


def test_several_starts_at_once_share_one_copy(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        cards = list(pool.map(lambda _: use_converted(CARD, tmp_path), range(3)))

    assert all(card == cards[0] for card in cards)
    assert cards[0].not_converted is None
    load_engine(ENGINES[CARD.id], cards[0].digests, cards[0].settings)


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


def test_a_copy_with_another_hash_than_on_the_card_is_not_kept(tmp_path: Path) -> None:
    other = replace(CARD, converted=ConvertedNetwork("other.onnx", "0" * 64))
    card = use_converted(other, tmp_path)

    assert card.digests == CARD.digests
    assert "not the one on the card" in str(card.not_converted)
    assert not list(tmp_path.rglob("*.onnx*"))


def test_an_engine_without_a_converted_network_is_left_as_it_is(tmp_path: Path) -> None:
    assert use_converted(load_card("sface"), tmp_path) == load_card("sface")
    assert not list(tmp_path.iterdir())
