"""The scan finds a stored value in every spelling, and nothing else."""

import base64
import hashlib
import secrets
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from app.demo.byte_scan import (
    SHORTEST,
    WINDOW,
    Needle,
    hash_needle,
    image_needle,
    photo_needle,
    scan,
    spellings_of,
    text_needle,
)
from app.demo.people import PhotoFile, StoryPhotos

NAME = "Ada Example-Person"
ID = UUID("3f1c9a52-7b0e-4d6a-9c11-5e8d2b4fa607")
TOKEN_BYTES = bytes(range(0xC0, 0xE0))
TOKEN = "mien_sub_" + base64.urlsafe_b64encode(TOKEN_BYTES).decode().rstrip("=")


def hidden_in(directory: Path, content: bytes) -> Path:
    """Write *content* into the middle of random bytes, two directories down."""
    place = directory / "data" / "mien.db-wal"
    place.parent.mkdir()
    place.write_bytes(secrets.token_bytes(5000) + content + secrets.token_bytes(5000))
    return directory


TEXT_SPELLINGS: dict[str, Callable[[str], bytes]] = {
    "plain": str.encode,
    "in capitals": lambda text: text.upper().encode(),
    "in hexadecimal": lambda text: text.encode().hex().encode(),
    "in capital hexadecimal": lambda text: text.encode().hex().upper().encode(),
    "in UTF-16": lambda text: text.encode("utf-16-le"),
    "in UTF-16, big-endian": lambda text: text.encode("utf-16-be"),
    "in a URL": lambda text: text.replace(" ", "%20").encode(),
    "in a form": lambda text: text.replace(" ", "+").encode(),
    "without its dashes": lambda text: text.replace("-", "").encode(),
}


@pytest.mark.parametrize("spell", TEXT_SPELLINGS.values(), ids=TEXT_SPELLINGS.keys())
def test_text_is_found_in_every_spelling(tmp_path: Path, spell: Callable[[str], bytes]) -> None:
    found = scan(hidden_in(tmp_path, spell(NAME)), [text_needle("name", NAME)])

    assert found.found("name")


@pytest.mark.parametrize("before", [b"", b"x", b"xy", b"xyz"])
@pytest.mark.parametrize("after", [b"", b"z", b"zy"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_bytes_are_found_in_base64_at_each_alignment(
    tmp_path: Path, before: bytes, after: bytes, encode: Callable[[bytes], bytes]
) -> None:
    value = b"\xfb\xff\xfe" * 6
    found = scan(hidden_in(tmp_path, encode(before + value + after)), [Needle.of("value", [value])])

    assert found.found("value")


ID_SPELLINGS = [
    *(ID.bytes, ID.bytes_le, base64.b64encode(ID.bytes)),
    *(str(ID).encode(), str(ID).upper().encode(), ID.hex.encode(), ID.hex.upper().encode()),
]


@pytest.mark.parametrize("stored", ID_SPELLINGS)
def test_id_is_found_as_text_and_as_bytes(tmp_path: Path, stored: bytes) -> None:
    assert scan(hidden_in(tmp_path, stored), [text_needle("id", str(ID))]).found("id")


@pytest.mark.parametrize("stored", [TOKEN.encode(), TOKEN_BYTES, TOKEN_BYTES.hex().encode(), TOKEN[9:].encode()])
def test_token_is_found_with_and_without_its_prefix(tmp_path: Path, stored: bytes) -> None:
    assert scan(hidden_in(tmp_path, stored), [text_needle("token", TOKEN)]).found("token")


@pytest.mark.parametrize("encode", [bytes, bytes.hex, base64.b64encode])
def test_part_of_a_photo_is_found(tmp_path: Path, encode: Callable[[bytes], bytes | str]) -> None:
    photo = PhotoFile.load(StoryPhotos().ada_at_the_door).content
    part = encode(photo[len(photo) // 2 : len(photo) // 2 + 8000])
    stored = part if isinstance(part, bytes) else part.encode()

    assert scan(hidden_in(tmp_path, stored), [photo_needle("photo", photo)]).found("photo")


def test_another_photo_is_not_found(tmp_path: Path) -> None:
    here, elsewhere = (PhotoFile.load(name).content for name in StoryPhotos().ada_enrols)

    assert not scan(hidden_in(tmp_path, here), [photo_needle("photo", elsewhere)]).traces


def test_hash_is_found(tmp_path: Path) -> None:
    stored = hashlib.sha256(TOKEN.encode()).hexdigest().encode()

    assert scan(hidden_in(tmp_path, stored), [hash_needle("hash", TOKEN.encode())]).found("hash")


def test_any_image_is_found(tmp_path: Path) -> None:
    photo = PhotoFile.load(StoryPhotos().group).content

    assert scan(hidden_in(tmp_path, photo), [image_needle("image")]).found("image")


def test_file_name_is_searched_too(tmp_path: Path) -> None:
    (tmp_path / f"{ID}.tmp").touch()
    found = scan(tmp_path, [text_needle("id", str(ID))])

    assert [trace.offset for trace in found.traces] == [-1]


def test_nothing_is_found_in_random_bytes(tmp_path: Path) -> None:
    photo = PhotoFile.load(StoryPhotos().ada_at_the_door).content
    needles = [
        text_needle("name", NAME),
        text_needle("id", str(ID)),
        text_needle("token", TOKEN),
        photo_needle("photo", photo),
        image_needle("image"),
    ]
    noise = secrets.token_bytes(300_000)
    found = scan(hidden_in(tmp_path, noise), needles)

    assert not found.traces
    assert (found.files, found.size) == (1, 310_000)


def test_trace_has_the_place(tmp_path: Path) -> None:
    found = scan(hidden_in(tmp_path, NAME.encode()), [text_needle("name", NAME), text_needle("id", str(ID))])

    assert [(trace.needle, trace.path, trace.offset) for trace in found.traces] == [
        ("name", Path("data/mien.db-wal"), 5000)
    ]


@pytest.mark.parametrize("value", [b"", b"short", b"1234567"])
def test_a_value_that_chance_would_find_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="by chance"):
        Needle.of("chance", [value])


def test_every_spelling_is_long_enough() -> None:
    assert min(map(len, spellings_of(b"\0" * SHORTEST))) >= SHORTEST


def test_pieces_of_a_photo_have_the_stated_length() -> None:
    needle = photo_needle("photo", PhotoFile.load(StoryPhotos().group).content)

    assert min(map(len, needle.spellings)) == WINDOW


def test_a_file_of_known_content_is_left_out_and_a_changed_one_is_not(tmp_path: Path) -> None:
    needles, secret = [text_needle("name", NAME)], NAME.encode()
    (tmp_path / "model").write_bytes(secret)
    known = [hashlib.sha256(secret).hexdigest()]

    assert not scan(tmp_path, needles, known=known).found("name")
    assert scan(tmp_path, needles, known=known).size == 0
    (tmp_path / "model").write_bytes(secret + b"!")
    assert scan(tmp_path, needles, known=known).found("name")
