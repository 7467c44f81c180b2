"""An operator's card is complete and fits the network beside it; otherwise it is refused with the reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.faces.cards.card import load_card
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import find_operating_point
from app.faces.cards.select import select_card
from app.settings import Settings
from tests.faces.custom_networks import INPUT, POOLED, SFACE, field, network, number, settings_with, write_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "own"


def refusal(card: Path) -> str:
    """Return the reason why a card is refused, even for measuring."""
    with pytest.raises(CustomEngineError) as refused:
        select_card(settings_with(card), calibrated=False)
    message = str(refused.value)
    assert "\n" not in message
    assert "docs/how-to/use-your-own-engine.md" in message
    return message


def test_the_public_card_has_every_file_and_no_path(folder: Path) -> None:
    card = select_card(settings_with(write_card(folder)), calibrated=False)
    public = json.dumps(card.as_document())

    assert card.id.startswith("ours@")
    assert {file["name"]: file["sha256"] for file in card.as_document()["files"]} == card.digests
    assert card.digests["our.onnx"] == load_card("sface").weights_sha256 != card.weights_sha256
    assert str(folder) not in public
    assert str(folder) == card.settings["directory"]


def test_without_a_calibration_a_card_supports_no_rate(folder: Path) -> None:
    card = select_card(settings_with(write_card(folder)), calibrated=False)

    for target in (1e-4, 0.5, 0.999999):
        with pytest.raises(ValueError, match="supports no false match rate"):
            find_operating_point(card, target)


@pytest.mark.parametrize(
    "changes",
    [
        {"network_input": {**INPUT, "channels": "bgr"}},
        {"network_input": {**INPUT, "mean": [1, 0, 0]}},
        {"network_input": {**INPUT, "scale": 2.0}},
        {"network_input": {**INPUT, "alignment": "box"}},
        {"network_input": {**INPUT, "size": 96}},
        {"network_input": {**INPUT, "detect_score": 0.9}},
        {"metric": "l2"},
    ],
)
def test_other_settings_make_another_engine(folder: Path, changes: dict[str, Any]) -> None:
    before = select_card(settings_with(write_card(folder)), calibrated=False)
    after = select_card(settings_with(write_card(folder, **changes)), calibrated=False)

    assert after.id != before.id
    assert after.pipeline != before.pipeline or "metric" in changes
    assert after.weights_sha256 != before.weights_sha256, "otherwise their templates would be compared"
    assert after.digests == before.digests


def test_a_change_that_changes_no_vector_keeps_the_engine(folder: Path) -> None:
    before = select_card(settings_with(write_card(folder)), calibrated=False).id
    changed = write_card(
        folder, network_input={**INPUT, "side": 640, "scale": 1}, licence="MIT", default_target_fmr=0.01
    )

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
        ({"network_input": {**INPUT, "size": 15}}, "settings.size"),
        ({"network_input": {**INPUT, "size": 1025}}, "settings.size"),
        ({"network_input": {**INPUT, "channels": "grey"}}, "settings.channels"),
        ({"network_input": {**INPUT, "mean": [0, 0]}}, "settings.mean"),
        ({"network_input": {**INPUT, "mean": [0, 0, "0"]}}, "settings.mean"),
        ({"network_input": {**INPUT, "scale": 0}}, "settings.scale"),
        ({"network_input": {**INPUT, "scale": float("nan")}}, "settings.scale"),
        ({"network_input": {**INPUT, "alignment": "none"}}, "settings.alignment"),
        ({"network_input": {**INPUT, "side": 1281}}, "settings.side"),
        ({"network_input": {**INPUT, "detect_score": 1}}, "settings.detect_score"),
        ({"network_input": {**INPUT, "colour": "rgb"}}, "settings.colour"),
    ],
)
def test_an_invalid_member_is_named(folder: Path, changes: dict[str, Any], member: str) -> None:
    assert f"card.json: {member}" in refusal(write_card(folder, **changes))


@pytest.mark.parametrize("member", json.loads(json.dumps(INPUT)))
def test_a_missing_setting_is_named(folder: Path, member: str) -> None:
    incomplete = {name: value for name, value in INPUT.items() if name != member}

    assert f"settings.{member}: Field required" in refusal(write_card(folder, network_input=incomplete))


@pytest.mark.parametrize("member", ["id", "licence", "training_data", "depicted_people_agreed", "weights_sha256"])
def test_a_missing_member_is_named(folder: Path, member: str) -> None:
    card = write_card(folder)
    document = json.loads(card.read_text("utf-8"))
    del document[member]
    card.write_text(json.dumps(document), "utf-8")

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
def test_an_unreadable_card_is_refused(folder: Path, raw: bytes, reason: str) -> None:
    card = write_card(folder)
    card.write_bytes(raw)

    assert reason in refusal(card)


@pytest.mark.parametrize("member", ['"metric": ', '"size": '])
def test_a_member_that_is_named_twice_is_refused(folder: Path, member: str) -> None:
    card = write_card(folder)
    card.write_text(card.read_text("utf-8").replace(member, f"{member}0, {member}"), "utf-8")

    assert "a member is named twice" in refusal(card)


def test_a_missing_card_is_refused(folder: Path) -> None:
    assert "no such file" in refusal(folder / "card.json")
    folder.mkdir()
    assert "no such file" in refusal(folder)


def test_the_id_of_a_shipped_engine_is_refused(folder: Path) -> None:
    for shipped in ("sface", "face_recognition"):
        assert "give yours another id" in refusal(write_card(folder, id=shipped))


def test_the_name_of_a_shipped_file_is_refused(folder: Path) -> None:
    card = write_card(folder, weights=SFACE.name)
    (folder / SFACE.name).write_bytes(b"another")

    assert "give yours another name" in refusal(card)


def test_a_network_with_another_hash_than_on_the_card_is_refused(folder: Path) -> None:
    card = write_card(folder, network(POOLED))
    (folder / "our.onnx").write_bytes(network(POOLED) + b"\0")

    assert "its SHA-256 is" in refusal(card)


def test_a_missing_or_empty_network_is_refused(folder: Path) -> None:
    card = write_card(folder, network(POOLED))
    (folder / "our.onnx").write_bytes(b"")
    assert "is empty" in refusal(card)
    (folder / "our.onnx").unlink()

    assert "put it beside its card" in refusal(card)


@pytest.mark.parametrize("length", [b"\x08", b"\x88\x00", b"\x88\x80\x80\x00"])
def test_weights_in_other_files_are_refused(folder: Path, length: bytes) -> None:
    """OpenCV would read any file that the network names, without a check of its hash."""
    key = b"\x0a" + length + b"location" + field(2, "elsewhere.bin")
    tensor = number(1, 3) + number(2, 1) + field(8, "weights") + field(13, key) + number(14, 1)

    assert "save it as one file" in refusal(write_card(folder, network(POOLED, extra=field(5, tensor))))


def test_a_network_may_contain_the_word_location(folder: Path) -> None:
    card = write_card(folder, network(("GlobalAveragePool", "data", "allocation")))

    assert select_card(settings_with(card), calibrated=False)


@pytest.mark.parametrize("named", ["", "dlib", "onnx", "onnx:", "ONNX:card.json", "onnx:a\0b", "fused:", "fused"])
def test_the_setting_must_name_an_engine_or_a_card(named: str) -> None:
    with pytest.raises(ValueError, match="onnx: or fused: and the path of a card"):
        Settings(engine=named)


def test_the_setting_holds_the_path_of_the_card() -> None:
    assert Settings(engine="onnx:a/b: c.json").custom_card == Path("a/b: c.json")
    assert Settings(engine="sface").custom_card is None
