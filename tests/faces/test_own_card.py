"""An operator's card says all that a card must say, of the network that lies beside it; else it is refused, and why."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.faces.cards.card import load_card
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import find_operating_point
from app.faces.cards.select import select_card
from app.settings import Settings
from tests.faces.custom_networks import FED, POOLED, SFACE, bring, field, network, number, settings_with


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "own"


def refusal(card: Path) -> str:
    """Return why a card is not taken, even to measure with."""
    with pytest.raises(CustomEngineError) as refused:
        select_card(settings_with(card), calibrated=False)
    said = str(refused.value)
    assert "\n" not in said
    assert "docs/how-to/use-your-own-engine.md" in said
    return said


def test_it_is_shown_with_every_file_and_without_a_path(folder: Path) -> None:
    card = select_card(settings_with(bring(folder)), calibrated=False)
    shown = json.dumps(card.as_document())

    assert card.id.startswith("ours@")
    assert {file["name"]: file["sha256"] for file in card.as_document()["files"]} == card.digests
    assert card.digests["our.onnx"] == load_card("sface").weights_sha256 != card.weights_sha256
    assert str(folder) not in shown
    assert str(folder) == card.settings["directory"]


def test_without_a_calibration_it_supports_no_rate(folder: Path) -> None:
    card = select_card(settings_with(bring(folder)), calibrated=False)

    for target in (1e-4, 0.5, 0.999999):
        with pytest.raises(ValueError, match="supports no false match rate"):
            find_operating_point(card, target)


@pytest.mark.parametrize(
    "changes",
    [
        {"fed": {**FED, "channels": "bgr"}},
        {"fed": {**FED, "mean": [1, 0, 0]}},
        {"fed": {**FED, "scale": 2.0}},
        {"fed": {**FED, "alignment": "box"}},
        {"fed": {**FED, "size": 96}},
        {"fed": {**FED, "detect_score": 0.9}},
        {"metric": "l2"},
    ],
)
def test_other_settings_are_another_engine(folder: Path, changes: dict[str, Any]) -> None:
    before = select_card(settings_with(bring(folder)), calibrated=False)
    after = select_card(settings_with(bring(folder, **changes)), calibrated=False)

    assert after.id != before.id
    assert after.pipeline != before.pipeline or "metric" in changes
    assert after.weights_sha256 != before.weights_sha256, "or their templates would be taken for one another's"
    assert after.digests == before.digests


def test_what_changes_no_vector_is_the_same_engine(folder: Path) -> None:
    before = select_card(settings_with(bring(folder)), calibrated=False).id
    changed = bring(folder, fed={**FED, "side": 640, "scale": 1}, licence="MIT", default_target_fmr=0.01)

    assert select_card(settings_with(changed), calibrated=False).id == before


@pytest.mark.parametrize(
    ("changes", "member"),
    [
        ({"id": "Ours"}, "id"),
        ({"id": "o" * 49}, "id"),
        ({"engine": ""}, "engine"),
        ({"licence": 5}, "licence"),
        ({"training_data": "line\nbreak"}, "training_data"),
        ({"depicted_people_agreed": "no"}, "depicted_people_agreed"),
        ({"weights": "../our.onnx"}, "weights"),
        ({"weights": "/our.onnx"}, "weights"),
        ({"weights_sha256": "A" * 64}, "weights_sha256"),
        ({"dimensions": 0}, "dimensions"),
        ({"dimensions": 4097}, "dimensions"),
        ({"dimensions": 128.5}, "dimensions"),
        ({"metric": "manhattan"}, "metric"),
        ({"default_target_fmr": 1}, "default_target_fmr"),
        ({"threshold": 0.5}, "threshold"),
        ({"fed": {**FED, "size": 15}}, "settings.size"),
        ({"fed": {**FED, "size": 1025}}, "settings.size"),
        ({"fed": {**FED, "channels": "grey"}}, "settings.channels"),
        ({"fed": {**FED, "mean": [0, 0]}}, "settings.mean"),
        ({"fed": {**FED, "mean": [0, 0, "0"]}}, "settings.mean"),
        ({"fed": {**FED, "scale": 0}}, "settings.scale"),
        ({"fed": {**FED, "scale": float("nan")}}, "settings.scale"),
        ({"fed": {**FED, "alignment": "none"}}, "settings.alignment"),
        ({"fed": {**FED, "side": 1281}}, "settings.side"),
        ({"fed": {**FED, "detect_score": 1}}, "settings.detect_score"),
        ({"fed": {**FED, "colour": "rgb"}}, "settings.colour"),
    ],
)
def test_a_member_of_the_wrong_kind_is_named(folder: Path, changes: dict[str, Any], member: str) -> None:
    assert f"card.json: {member}" in refusal(bring(folder, **changes))


@pytest.mark.parametrize("member", json.loads(json.dumps(FED)))
def test_a_missing_setting_is_named(folder: Path, member: str) -> None:
    fed = {name: value for name, value in FED.items() if name != member}

    assert f"settings.{member}: Field required" in refusal(bring(folder, fed=fed))


@pytest.mark.parametrize("member", ["id", "licence", "training_data", "depicted_people_agreed", "weights_sha256"])
def test_a_missing_member_is_named(folder: Path, member: str) -> None:
    card = bring(folder)
    said = json.loads(card.read_text("utf-8"))
    del said[member]
    card.write_text(json.dumps(said), "utf-8")

    assert f"{member}: Field required" in refusal(card)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "Invalid JSON"),
        (b"[]", "object"),
        (b"", "Invalid JSON"),
        (b"\xff", "not text"),
        (b" " * 70_000, "more than 65536 bytes"),
        (b"[" * 60_000, "Invalid JSON"),
    ],
)
def test_a_card_that_cannot_be_read_is_refused(folder: Path, raw: bytes, reason: str) -> None:
    card = bring(folder)
    card.write_bytes(raw)

    assert reason in refusal(card)


def test_a_card_that_is_not_there_is_refused(folder: Path) -> None:
    assert "no such file" in refusal(folder / "card.json")
    folder.mkdir()
    assert "no such file" in refusal(folder)


def test_the_id_of_an_engine_that_ships_is_taken(folder: Path) -> None:
    for taken in ("sface", "face_recognition"):
        assert "give yours another id" in refusal(bring(folder, id=taken))


def test_the_name_of_a_file_that_ships_is_taken(folder: Path) -> None:
    card = bring(folder, weights=SFACE.name)
    (folder / SFACE.name).write_bytes(b"another")

    assert "give yours another name" in refusal(card)


def test_another_network_than_the_cards_is_refused(folder: Path) -> None:
    card = bring(folder, network(POOLED))
    (folder / "our.onnx").write_bytes(network(POOLED) + b"\0")

    assert "its SHA-256 is" in refusal(card)


def test_a_missing_or_empty_network_is_refused(folder: Path) -> None:
    card = bring(folder, network(POOLED))
    (folder / "our.onnx").write_bytes(b"")
    assert "is empty" in refusal(card)
    (folder / "our.onnx").unlink()

    assert "put it beside its card" in refusal(card)


@pytest.mark.parametrize("length", [b"\x08", b"\x88\x00", b"\x88\x80\x80\x00"])
def test_weights_in_other_files_are_refused(folder: Path, length: bytes) -> None:
    """OpenCV would read any file that the network names, and no hash would cover it."""
    key = b"\x0a" + length + b"location" + field(2, "elsewhere.bin")
    tensor = number(1, 3) + number(2, 1) + field(8, "weights") + field(13, key) + number(14, 1)

    assert "save it as one file" in refusal(bring(folder, network(POOLED, extra=field(5, tensor))))


def test_a_network_may_speak_of_locations(folder: Path) -> None:
    card = bring(folder, network(("GlobalAveragePool", "data", "allocation")))

    assert select_card(settings_with(card), calibrated=False)


@pytest.mark.parametrize("named", ["", "dlib", "onnx", "onnx:", "ONNX:card.json", "onnx:a\0b"])
def test_the_setting_names_an_engine_or_a_card(named: str) -> None:
    with pytest.raises(ValueError, match="onnx: and the path of a card"):
        Settings(engine=named)


def test_the_setting_gives_the_path() -> None:
    assert Settings(engine="onnx:a/b: c.json").custom_card == Path("a/b: c.json")
    assert Settings(engine="sface").custom_card is None
