"""A calibration is valid only unchanged, in its own service, and for its network and settings."""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.faces.cards.card import load_card
from app.faces.cards.custom_calibration import KEY_FILE, calibration_path, seal_calibration
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import find_operating_point
from app.faces.cards.select import select_card
from app.settings import Settings
from tests.faces.custom_networks import INPUT, POOLED, calibrate, network, report, settings_with, write_card


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return write_card(tmp_path / "own", network(POOLED))


def refusal(settings: Settings) -> str:
    """Return the reason why the service would not start."""
    with pytest.raises(CustomEngineError) as refused:
        select_card(settings)
    message = str(refused.value)
    assert "\n" not in message
    return message


def rewrite(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a calibration but not its seal."""
    path = calibration_path(card)
    document = json.loads(path.read_text("utf-8"))
    change(document)
    path.write_text(json.dumps(document), "utf-8")


def test_a_calibrated_engine_has_a_threshold_and_a_public_calibration(card: Path) -> None:
    settings = calibrate(card)
    found, sface = select_card(settings), load_card("sface")
    public = found.as_document()

    assert find_operating_point(found, 1e-4).threshold == find_operating_point(sface, 1e-4).threshold
    assert found.calibration.lowest_fmr == sface.calibration.lowest_fmr
    assert public["statement"] == {"origin": "Drawings, not people.", "people_agreed": "unknown"}
    assert public["calibrated"]["date"] == "2026-11-26"
    assert public["calibrated"]["machine"] == platform.machine()
    assert public["calibration"]["trial"] == sface.as_document()["calibration"]["trial"]
    assert not {str(card.parent), "seal"} & set(json.dumps(public).split('"'))


def test_without_a_calibration_the_service_does_not_start(card: Path) -> None:
    message = refusal(settings_with(card))

    assert "it has no calibration" in message
    assert "mien evaluate DIR --calibrate" in message


def test_only_its_owner_can_read_the_key_and_a_second_calibration_keeps_it(card: Path) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    before = key.read_bytes()
    calibrate(card)

    assert (key.stat().st_mode & 0o777, len(before), key.read_bytes()) == (0o600, 32, before)
    assert sorted(one.name for one in card.parent.iterdir()) == ["card.calibration.json", "card.json", "our.onnx"]
    assert [one.name for one in settings.register_dir.iterdir()] == [KEY_FILE]


def test_a_calibration_of_another_service_is_refused(card: Path, tmp_path: Path) -> None:
    calibrate(card)
    moved = settings_with(card).model_copy(update={"keys_dir": tmp_path / "elsewhere"})
    assert "the key is missing" in refusal(moved)
    other = write_card(tmp_path / "other" / "own", network(POOLED))
    calibrate(other)
    moved = moved.model_copy(update={"keys_dir": settings_with(other).keys_dir})

    assert "not made by this service" in refusal(moved)


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document["calibration"]["table"][0].update(fmr=1e-9),
        lambda document: document["statement"].update(people_agreed="yes"),
        lambda document: document.update(date="2026-11-27"),
        lambda document: document.update(machine="another"),
        lambda document: document.update(weights_sha256="0" * 64),
        lambda document: document.update(seal="0" * 64),
        lambda document: document["calibration"].update(note="\ud800"),
    ],
)
def test_an_edited_calibration_is_refused(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = calibrate(card)
    rewrite(card, change)

    assert "it was changed" in refusal(settings)


def test_a_calibration_with_another_layout_of_its_json_is_accepted(card: Path) -> None:
    settings = calibrate(card)
    path = calibration_path(card)
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(reversed(document.items())), indent=7), "utf-8")

    assert select_card(settings).calibration.points


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.pop("seal"),
        lambda document: document.update(more=1),
        lambda document: document.update(form="mien-calibration-2"),
        lambda document: document["calibration"].pop("trial"),
        lambda document: document["calibration"].update(table=[]),
        lambda document: document["calibration"].update(table=5),
        lambda document: document["calibration"].update(ci95_by_person=[{"threshold": 1, "fmr": [1], "fnmr": [1, 2]}]),
        lambda document: document["calibration"]["table"][0].update(fmr=float("nan")),
    ],
)
def test_an_invalid_calibration_is_refused(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = calibrate(card)
    rewrite(card, change)

    assert "it is no calibration" in refusal(settings)


@pytest.mark.parametrize("raw", [b"", b"null", b"[" * 100_000, b"\xff", b"{}", b" " * (4 * 1024 * 1024 + 1)])
def test_a_calibration_that_is_no_json_object_is_refused(card: Path, raw: bytes) -> None:
    settings = calibrate(card)
    calibration_path(card).write_bytes(raw)

    assert "calibration" in refusal(settings)


def test_a_calibration_of_another_network_is_refused(card: Path) -> None:
    settings = calibrate(card)
    write_card(card.parent, network(POOLED, ("Relu", "pooled", "clipped")))

    assert "it belongs to another network" in refusal(settings)


@pytest.mark.parametrize(
    "changes", [{"network_input": {**INPUT, "channels": "bgr"}}, {"metric": "cosine"}, {"id": "others"}]
)
def test_a_calibration_of_other_settings_is_refused(card: Path, changes: dict[str, Any]) -> None:
    settings = calibrate(card)
    write_card(card.parent, network(POOLED), **changes)

    assert "it belongs to other settings" in refusal(settings)


def test_a_calibration_of_another_processor_or_opencv_is_refused(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, made = calibrate(card), platform.machine()
    with monkeypatch.context() as patched:
        patched.setattr("platform.machine", lambda: "other64")
        assert f"made with machine {made}, but this machine has other64" in refusal(settings)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "5.0.1")

    assert "this machine has 5.0.1" in refusal(settings)


def test_a_key_that_other_users_can_read_is_refused(card: Path) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    key.chmod(0o640)

    assert "other users can read it" in refusal(settings)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(card: Path, length: int) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    key.write_bytes(bytes(length))

    assert "no key of 32 bytes" in refusal(settings)


def test_a_shipped_engine_gets_no_calibration(card: Path, tmp_path: Path) -> None:
    found = report(settings_with(card))
    shipped = Settings(engine="sface", data_dir=tmp_path / "data", keys_dir=tmp_path / "keys")
    with pytest.raises(CustomEngineError, match="ships with its calibration"):
        seal_calibration(found, settings=shipped)

    assert not (tmp_path / "keys").exists()


def test_an_engine_that_changed_during_the_evaluation_is_not_sealed(card: Path) -> None:
    settings = settings_with(card)
    found = report(settings)
    write_card(card.parent, network(POOLED), network_input={**INPUT, "scale": 2.0})
    with pytest.raises(CustomEngineError, match="changed while the images were measured"):
        seal_calibration(found, settings=settings)

    assert not calibration_path(card).exists()


def test_a_trial_that_supports_no_rate_is_not_sealed(card: Path) -> None:
    settings = settings_with(card)
    found = report(settings)
    found["calibration"]["ci95_by_person"] = [{"threshold": 0.5, "fmr": [0.0, 0.1], "fnmr": [0.0, 0.1]}]
    with pytest.raises(CustomEngineError, match="evaluate more people"):
        seal_calibration(found, settings=settings)

    assert not settings.register_dir.exists()


def test_a_full_disk_leaves_the_earlier_calibration(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = calibrate(card)
    before = calibration_path(card).read_bytes()

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        calibrate(card)

    assert calibration_path(card).read_bytes() == before
    assert len(list(card.parent.iterdir())) == 3
    assert select_card(settings)


def test_of_two_processes_that_make_the_key_at_once_the_first_wins(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, first = settings_with(card), bytes(range(32))

    def make_key_after_another_process(_length: int) -> bytes:
        path = settings.register_dir / KEY_FILE
        path.write_bytes(first)
        path.chmod(0o600)
        return b"\1" * 32

    monkeypatch.setattr("secrets.token_bytes", make_key_after_another_process)
    calibrate(card)

    assert (settings.register_dir / KEY_FILE).read_bytes() == first
    assert select_card(settings).calibration.points
