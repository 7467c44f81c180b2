"""Calibration of an operator's network, written only by `mien evaluate` and valid only for this service.

The file lies beside the card. Its seal is an HMAC-SHA256 under a key in this service's register directory. So a
calibration that was copied, edited, or made with another network or other settings is refused. The seal proves nothing
to others: the operator has the key.
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
    """The operator's statement on the images of the trial."""

    model_config = ConfigDict(strict=True, extra="forbid")

    origin: str
    people_agreed: Literal["yes", "no", "unknown"]


class SealedCalibration(BaseModel):
    """A calibration, its engine, and its seal."""

    model_config = ConfigDict(strict=True, extra="forbid")

    form: Literal["mien-calibration-1"]
    engine: str
    """Id of the engine, with the start of the hash of its settings."""
    weights_sha256: str
    pipeline_sha256: str
    opencv: str
    machine: str
    """Kind of processor; the same network rounds differently on another."""
    date: str
    statement: SealedStatement
    calibration: dict[str, Any]
    seal: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def calibration_path(card: Path) -> Path:
    """Return the path of a card's calibration: `card.calibration.json` beside `card.json`."""
    return card.with_name(f"{card.name.removesuffix('.json')}.calibration.json")


def seal_calibration(evaluation: Mapping[str, Any], *, settings: Settings) -> Path:
    """Seal the calibration of an evaluation beside the operator's card. The first call makes the key.

    Args:
        evaluation: the report: `calibration`, `statement`, `engine`, `weights_sha256`, `date`.
        settings: settings of the evaluation, with the card and the register.

    Raises:
        CustomEngineError: the settings name a shipped engine, the card or network changed during the evaluation, or the
            trial is too small to support any rate.
    """
    if settings.custom_card is None:
        raise CustomEngineError(
            f"{settings.engine} ships with its calibration; only an engine of your own gets one {HOW}"
        )
    engine = read_custom_engine(settings.custom_card)
    if (evaluation["engine"]["id"], evaluation["weights_sha256"]) != (engine.engine_id, engine.label_sha256):
        raise CustomEngineError(f"{engine.path}: it changed while the images were measured; {_AGAIN}")
    if parse_calibration(evaluation["calibration"]).lowest_fmr >= 1:
        raise CustomEngineError(
            f"{engine.path}: the trial supports no false match rate, so nothing was sealed; evaluate more people {HOW}"
        )
    said = {
        "form": FORM,
        "engine": engine.engine_id,
        "weights_sha256": engine.custom_card.weights_sha256,
        "pipeline_sha256": engine.pipeline_sha256,
        **_here(),
        "date": evaluation["date"],
        "statement": evaluation["statement"],
        "calibration": evaluation["calibration"],
    }
    sealed = {**said, "seal": _seal(said, _made_key(settings.register_dir))}
    path = calibration_path(engine.path)
    SealedCalibration.model_validate(sealed)
    _write(path, json.dumps(sealed, indent=1, allow_nan=False).encode() + b"\n", mode=0o644)
    return path


def open_calibration(engine: CustomEngine, settings: Settings) -> dict[str, Any]:
    """Return the sealed calibration of an operator's network.

    Raises:
        CustomEngineError: there is none, another service made it, or it belongs to another engine.
    """
    path = calibration_path(engine.path)
    if not path.is_file():
        raise CustomEngineError(f"{engine.path}: it has no calibration, so its error rates are unknown; {_AGAIN}")
    found = _read(path)
    said = {name: value for name, value in found.items() if name != "seal"}
    if not hmac.compare_digest(_seal(said, _key(settings.register_dir)), found["seal"]):
        raise CustomEngineError(f"{path}: it was changed, or not made by this service; {_AGAIN}")
    if said["weights_sha256"] != engine.custom_card.weights_sha256:
        raise CustomEngineError(f"{path}: it is of another network; {_AGAIN}")
    if (said["engine"], said["pipeline_sha256"]) != (engine.engine_id, engine.pipeline_sha256):
        raise CustomEngineError(f"{path}: it is of other settings than the card's; {_AGAIN}")
    for name, here in _here().items():
        if said[name] != here:
            raise CustomEngineError(f"{path}: it was made with {name} {said[name]}, and here it is {here}; {_AGAIN}")
    return found


def _here() -> dict[str, str]:
    """Return the properties of this machine that change the numbers of a network."""
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
    """Return the key; make it if it does not exist."""
    path = directory / KEY_FILE
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, secrets.token_bytes(KEY_BYTES), mode=0o600, replacing=False)
    return _key(directory)


def _write(path: Path, content: bytes, *, mode: int, replacing: bool = True) -> None:
    """Write a file atomically; if not *replacing*, an existing file stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replacing:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
        synced(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
