"""The calibration of an operator's network: written by `mien evaluate` alone, and of one network, run in one way, here.

It lies beside the card, under a seal: HMAC-SHA256 under a key that is in the register's directory of this service and
nowhere else. So one that was copied from elsewhere, edited, or made of another network or other settings is refused. It
proves nothing to anybody else: whoever has the key can seal what they like.
"""

import contextlib
import hmac
import importlib.metadata
import json
import os
import platform
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.db.sqlite.files import synced
from app.faces.cards.calibration import parse_calibration
from app.faces.cards.custom_card import HOW, CustomEngine, CustomEngineError, canonical, read_custom_engine, read_text
from app.settings import Settings

KEY_FILE: Final = "calibration.key"
KEY_BYTES: Final = 32
MOST_BYTES: Final = 4 * 1024 * 1024
FORM: Final = "mien-calibration-1"
_AGAIN: Final = f"make one here: mien evaluate DIR --calibrate {HOW}"


class SealedStatement(BaseModel):
    """What the operator said of the images of the trial."""

    model_config = ConfigDict(strict=True, extra="forbid")

    origin: str
    people_agreed: Literal["yes", "no", "unknown"]


class SealedCalibration(BaseModel):
    """A calibration, what it is of, and its seal."""

    model_config = ConfigDict(strict=True, extra="forbid")

    form: Literal["mien-calibration-1"]
    engine: str
    """The id with the beginning of the hash of all settings."""
    weights_sha256: str
    pipeline_sha256: str
    opencv: str
    machine: str
    """The kind of processor: the same network rounds otherwise on another."""
    date: str
    statement: SealedStatement
    calibration: dict[str, Any]
    seal: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def calibration_path(card: Path) -> Path:
    """Return where the calibration of the card at *card* lies: `card.calibration.json` beside `card.json`."""
    return card.with_name(f"{card.name.removesuffix('.json')}.calibration.json")


def seal_calibration(evaluation: Mapping[str, Any], *, settings: Settings) -> Path:
    """Write what `mien evaluate` found of the operator's network as its calibration; the first one makes the key.

    Args:
        evaluation: the report: `calibration`, `statement`, `engine`, `weights_sha256`, `date`.
        settings: that it was measured under; they name the card, and say where the register is.

    Raises:
        OwnEngineError: the settings name no engine of the operator's, its card or network changed meanwhile, or the
            trial is too small to support any rate.
    """
    if settings.own_card is None:
        raise CustomEngineError(
            f"{settings.engine} ships with its calibration; only an engine of your own gets one {HOW}"
        )
    own = read_custom_engine(settings.own_card)
    if (evaluation["engine"]["id"], evaluation["weights_sha256"]) != (own.engine_id, own.label_sha256):
        raise CustomEngineError(f"{own.path}: it changed while the images were measured; {_AGAIN}")
    if parse_calibration(evaluation["calibration"]).lowest_fmr >= 1:
        raise CustomEngineError(
            f"{own.path}: the trial supports no false match rate, so nothing was sealed; evaluate more people {HOW}"
        )
    said = {
        "form": FORM,
        "engine": own.engine_id,
        "weights_sha256": own.says.weights_sha256,
        "pipeline_sha256": own.pipeline_sha256,
        **_here(),
        "date": evaluation["date"],
        "statement": evaluation["statement"],
        "calibration": evaluation["calibration"],
    }
    sealed = {**said, "seal": _seal(said, _made_key(settings.register_dir))}
    path = calibration_path(own.path)
    SealedCalibration.model_validate(sealed)
    _write(path, json.dumps(sealed, indent=1, allow_nan=False).encode() + b"\n", mode=0o644)
    return path


def open_calibration(own: CustomEngine, settings: Settings) -> dict[str, Any]:
    """Return the sealed calibration of an operator's network.

    Raises:
        OwnEngineError: there is none, it was not made here, or it is of something else.
    """
    path = calibration_path(own.path)
    if not path.is_file():
        raise CustomEngineError(f"{own.path}: it has no calibration, so nobody knows how often it errs; {_AGAIN}")
    found = _read(path)
    said = {name: value for name, value in found.items() if name != "seal"}
    if not hmac.compare_digest(_seal(said, _key(settings.register_dir)), found["seal"]):
        raise CustomEngineError(f"{path}: it was changed, or not made by this service; {_AGAIN}")
    if said["weights_sha256"] != own.says.weights_sha256:
        raise CustomEngineError(f"{path}: it is of another network; {_AGAIN}")
    if (said["engine"], said["pipeline_sha256"]) != (own.engine_id, own.pipeline_sha256):
        raise CustomEngineError(f"{path}: it is of other settings than the card's; {_AGAIN}")
    for name, here in _here().items():
        if said[name] != here:
            raise CustomEngineError(f"{path}: it was made with {name} {said[name]}, and here it is {here}; {_AGAIN}")
    return found


def _here() -> dict[str, str]:
    """Return what the results of one network differ by from machine to machine, as far as it can be told."""
    return {"opencv": importlib.metadata.version("opencv-python-headless"), "machine": platform.machine()}


def _read(path: Path) -> dict[str, Any]:
    text = read_text(path, most_bytes=MOST_BYTES, what="a calibration")
    try:
        found: dict[str, Any] = json.loads(text, parse_constant=_no_number)
        SealedCalibration.model_validate(found)
        parse_calibration(found["calibration"])
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CustomEngineError(f"{path}: it is no calibration; {_AGAIN}") from error
    return found


def _no_number(text: str) -> float:
    raise ValueError(text)


def _seal(said: Mapping[str, Any], key: bytes) -> str:
    return hmac.digest(key, FORM.encode() + b"\n" + canonical(said), "sha256").hex()


def _key(directory: Path) -> bytes:
    path = directory / KEY_FILE
    try:
        with path.open("rb") as file:
            others = os.fstat(file.fileno()).st_mode & 0o077
            key = file.read(KEY_BYTES + 1)
    except FileNotFoundError as error:
        raise CustomEngineError(f"{path}: the key is not there, so no calibration was made here; {_AGAIN}") from error
    if others:
        raise CustomEngineError(f"{path} may be read by others; make it readable by its owner only (chmod 600)")
    if len(key) != KEY_BYTES:
        raise CustomEngineError(f"{path} is no key of {KEY_BYTES} bytes; remove it, and {_AGAIN}")
    return key


def _made_key(directory: Path) -> bytes:
    """Return the key; make it if there is none."""
    path = directory / KEY_FILE
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, secrets.token_bytes(KEY_BYTES), mode=0o600, replacing=False)
    return _key(directory)


def _write(path: Path, content: bytes, *, mode: int, replacing: bool = True) -> None:
    """Write a file whole or not at all; if not *replacing*, whoever is first stays."""
    unnamed = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(unnamed, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replacing:
            unnamed.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(unnamed)
        synced(path.parent)
    finally:
        unnamed.unlink(missing_ok=True)
