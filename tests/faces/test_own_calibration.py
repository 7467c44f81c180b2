"""A calibration counts where it was made, for the network and the settings that it was made of, and unchanged."""

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
from tests.faces.custom_networks import FED, POOLED, bring, calibrate, network, report, settings_with


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return bring(tmp_path / "own", network(POOLED))


def refusal(settings: Settings) -> str:
    """Return why the service would not start."""
    with pytest.raises(CustomEngineError) as refused:
        select_card(settings)
    said = str(refused.value)
    assert "\n" not in said
    return said


def rewritten(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what a calibration says, and leave its seal."""
    path = calibration_path(card)
    said = json.loads(path.read_text("utf-8"))
    change(said)
    path.write_text(json.dumps(said), "utf-8")


def test_with_its_calibration_it_has_a_threshold_and_is_shown_with_it(card: Path) -> None:
    settings = calibrate(card)
    found, sface = select_card(settings), load_card("sface")
    shown = found.as_document()

    assert find_operating_point(found, 1e-4).threshold == find_operating_point(sface, 1e-4).threshold
    assert found.calibration.lowest_fmr == sface.calibration.lowest_fmr
    assert shown["statement"] == {"origin": "Drawn, of nobody.", "people_agreed": "unknown"}
    assert shown["calibrated"]["date"] == "2026-11-26"
    assert shown["calibrated"]["machine"] == platform.machine()
    assert shown["calibration"]["trial"] == sface.as_document()["calibration"]["trial"]
    assert not {str(card.parent), "seal"} & set(json.dumps(shown).split('"'))


def test_without_one_it_does_not_start(card: Path) -> None:
    said = refusal(settings_with(card))

    assert "it has no calibration" in said
    assert "mien evaluate DIR --calibrate" in said


def test_the_key_is_the_owners_only_and_stays(card: Path) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    before = key.read_bytes()
    calibrate(card)

    assert (key.stat().st_mode & 0o777, len(before), key.read_bytes()) == (0o600, 32, before)
    assert sorted(one.name for one in card.parent.iterdir()) == ["card.calibration.json", "card.json", "our.onnx"]
    assert [one.name for one in settings.register_dir.iterdir()] == [KEY_FILE]


def test_one_made_elsewhere_is_refused(card: Path, tmp_path: Path) -> None:
    calibrate(card)
    elsewhere = settings_with(card).model_copy(update={"keys_dir": tmp_path / "elsewhere"})
    assert "the key is missing" in refusal(elsewhere)
    other = bring(tmp_path / "other" / "own", network(POOLED))
    calibrate(other)
    elsewhere = elsewhere.model_copy(update={"keys_dir": settings_with(other).keys_dir})

    assert "not made by this service" in refusal(elsewhere)


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said["calibration"]["table"][0].update(fmr=1e-9),
        lambda said: said["statement"].update(people_agreed="yes"),
        lambda said: said.update(date="2026-11-27"),
        lambda said: said.update(machine="another"),
        lambda said: said.update(weights_sha256="0" * 64),
        lambda said: said.update(seal="0" * 64),
        lambda said: said["calibration"].update(note="\ud800"),
    ],
)
def test_one_that_was_edited_is_refused(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = calibrate(card)
    rewritten(card, change)

    assert "it was changed" in refusal(settings)


def test_one_that_was_only_create_databases_otherwise_counts(card: Path) -> None:
    settings = calibrate(card)
    path = calibration_path(card)
    said = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(dict(reversed(said.items())), indent=7), "utf-8")

    assert select_card(settings).calibration.points


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("seal"),
        lambda said: said.update(more=1),
        lambda said: said.update(form="mien-calibration-2"),
        lambda said: said["calibration"].pop("trial"),
        lambda said: said["calibration"].update(table=[]),
        lambda said: said["calibration"].update(table=5),
        lambda said: said["calibration"].update(ci95_by_person=[{"threshold": 1, "fmr": [1], "fnmr": [1, 2]}]),
        lambda said: said["calibration"]["table"][0].update(fmr=float("nan")),
    ],
)
def test_what_is_no_calibration_is_refused(card: Path, change: Callable[[dict[str, Any]], object]) -> None:
    settings = calibrate(card)
    rewritten(card, change)

    assert "it is no calibration" in refusal(settings)


@pytest.mark.parametrize("raw", [b"", b"null", b"[" * 100_000, b"\xff", b"{}", b" " * (4 * 1024 * 1024 + 1)])
def test_what_is_no_json_is_refused(card: Path, raw: bytes) -> None:
    settings = calibrate(card)
    calibration_path(card).write_bytes(raw)

    assert "calibration" in refusal(settings)


def test_one_of_another_network_is_refused(card: Path) -> None:
    settings = calibrate(card)
    bring(card.parent, network(POOLED, ("Relu", "pooled", "clipped")))

    assert "it belongs to another network" in refusal(settings)


@pytest.mark.parametrize("changes", [{"fed": {**FED, "channels": "bgr"}}, {"metric": "cosine"}, {"id": "others"}])
def test_one_of_other_settings_is_refused(card: Path, changes: dict[str, Any]) -> None:
    settings = calibrate(card)
    bring(card.parent, network(POOLED), **changes)

    assert "it belongs to other settings" in refusal(settings)


def test_one_of_another_processor_or_opencv_is_refused(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, made = calibrate(card), platform.machine()
    with monkeypatch.context() as patched:
        patched.setattr("platform.machine", lambda: "other64")
        assert f"made with machine {made}, but this machine has other64" in refusal(settings)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "5.0.1")

    assert "this machine has 5.0.1" in refusal(settings)


def test_a_key_that_others_may_read_is_none(card: Path) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    key.chmod(0o640)

    assert "other users can read it" in refusal(settings)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_none(card: Path, length: int) -> None:
    settings = calibrate(card)
    key = settings.register_dir / KEY_FILE
    key.write_bytes(bytes(length))

    assert "no key of 32 bytes" in refusal(settings)


def test_of_an_engine_that_ships_none_is_sealed(card: Path, tmp_path: Path) -> None:
    found = report(settings_with(card))
    ships = Settings(engine="sface", data_dir=tmp_path / "data", keys_dir=tmp_path / "keys")
    with pytest.raises(CustomEngineError, match="ships with its calibration"):
        seal_calibration(found, settings=ships)

    assert not (tmp_path / "keys").exists()


def test_one_that_changed_while_it_was_measured_is_not_sealed(card: Path) -> None:
    settings = settings_with(card)
    found = report(settings)
    bring(card.parent, network(POOLED), fed={**FED, "scale": 2.0})
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


def test_a_full_disk_leaves_the_calibration_that_was_there(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_of_two_that_make_the_key_at_once_the_first_stays(card: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, first = settings_with(card), bytes(range(32))

    def beaten(_length: int) -> bytes:
        path = settings.register_dir / KEY_FILE
        path.write_bytes(first)
        path.chmod(0o600)
        return b"\1" * 32

    monkeypatch.setattr("secrets.token_bytes", beaten)
    calibrate(card)

    assert (settings.register_dir / KEY_FILE).read_bytes() == first
    assert select_card(settings).calibration.points
