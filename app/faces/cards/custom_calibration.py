"""Calibration of an operator's network, written only by `mien evaluate` and valid only for this service.

The file is beside the card. Its seal is an HMAC-SHA256 under a key in this service's register directory, so a copied
or edited calibration is refused. The seal proves nothing to others, since the operator has the key.
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

from pydantic import BaseModel, ConfigDict, Field

from app.faces.cards.calibration import Calibration
from app.faces.cards.custom_card import HELP, CustomEngineError, OperatorEngine, canonical, read_text
from app.faces.cards.read_engine import read_engine
from app.faces.permit import PeopleAgreed
from app.kit.files import fsync
from app.settings import Settings

KEY_FILE: Final = "calibration.key"
KEY_BYTES: Final = 32
MAX_BYTES: Final = 4 * 1024 * 1024
FORM: Final = "mien-calibration-1"
_MAKE_ONE: Final = f"make one here: mien evaluate DIR --calibrate {HELP}"


class _CalibrationPart(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class SealedStatement(_CalibrationPart):
    """The operator's statement on the images of the trial."""

    origin: str
    people_agreed: PeopleAgreed


class SealedCalibration(_CalibrationPart):
    """A calibration, its engine, and its seal."""

    form: Literal["mien-calibration-1"]
    engine: str
    """Id of the engine, with the start of the hash of its settings."""
    weights_sha256: str
    pipeline_sha256: str
    opencv: str
    machine: str
    """Type of processor: on another, the same network rounds differently."""
    date: str
    statement: SealedStatement
    calibration: dict[str, Any]
    seal: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def calibration_path(card: Path) -> Path:
    """Return the path of a card's calibration: `card.calibration.json` beside `card.json`."""
    return card.with_name(f"{card.name.removesuffix('.json')}.calibration.json")


def seal_calibration(evaluation: Mapping[str, Any], *, settings: Settings) -> Path:
    """Seal the calibration of an evaluation and write it beside the operator's card. The first call makes the key.

    Args:
        evaluation: the report: `calibration`, `statement`, `engine`, `weights_sha256`, `date`.
        settings: settings of the evaluation, with the card and the register.

    Raises:
        CustomEngineError: the settings name a shipped engine, the card or network changed during the evaluation, or the
            trial is too small to support any rate.
    """
    engine = read_engine(settings)
    if engine is None:
        raise CustomEngineError(f"{settings.engine} ships with its calibration; only your own engine needs one {HELP}")
    if (evaluation["engine"]["id"], evaluation["weights_sha256"]) != (engine.engine_id, engine.label_sha256):
        raise CustomEngineError(f"{engine.path}: it changed while the images were measured; {_MAKE_ONE}")
    if Calibration.model_validate(evaluation["calibration"]).lowest_fmr >= 1:
        raise CustomEngineError(
            f"{engine.path}: the trial supports no false match rate, so no calibration was made; evaluate more people "
            f"{HELP}"
        )
    content = {
        "form": FORM,
        "engine": engine.engine_id,
        "weights_sha256": engine.weights_sha256,
        "pipeline_sha256": engine.pipeline_sha256,
        **_machine_properties(),
        "date": evaluation["date"],
        "statement": evaluation["statement"],
        "calibration": evaluation["calibration"],
    }
    sealed = {**content, "seal": _seal(content, _read_or_make_key(settings.register_dir))}
    SealedCalibration.model_validate(sealed)
    path = calibration_path(engine.path)
    _write(path, json.dumps(sealed, indent=1, allow_nan=False).encode() + b"\n", mode=0o644)
    return path


def open_calibration(engine: OperatorEngine, settings: Settings) -> dict[str, Any]:
    """Return the sealed calibration of an operator's network.

    Raises:
        CustomEngineError: there is none, another service made it, or it belongs to another engine.
    """
    path = calibration_path(engine.path)
    if not path.is_file():
        raise CustomEngineError(f"{engine.path}: it has no calibration, so its error rates are unknown; {_MAKE_ONE}")
    sealed = _read(path)
    content = {name: value for name, value in sealed.items() if name != "seal"}
    if not hmac.compare_digest(_seal(content, _read_key(settings.register_dir)), sealed["seal"]):
        raise CustomEngineError(f"{path}: it was changed, or not made by this service; {_MAKE_ONE}")
    if content["weights_sha256"] != engine.weights_sha256:
        raise CustomEngineError(f"{path}: it belongs to another network; {_MAKE_ONE}")
    if (content["engine"], content["pipeline_sha256"]) != (engine.engine_id, engine.pipeline_sha256):
        raise CustomEngineError(f"{path}: it belongs to other settings than the card's; {_MAKE_ONE}")
    for name, value in _machine_properties().items():
        if content[name] != value:
            raise CustomEngineError(
                f"{path}: it was made with {name} {content[name]}, but this machine has {value}; {_MAKE_ONE}"
            )
    return sealed


def _machine_properties() -> dict[str, str]:
    """Return the properties of this machine that change the vectors of a network."""
    return {"opencv": importlib.metadata.version("opencv-python-headless"), "machine": platform.machine()}


def _read(path: Path) -> dict[str, Any]:
    text = read_text(path, max_bytes=MAX_BYTES, content="a calibration")
    try:
        sealed: dict[str, Any] = json.loads(text, parse_constant=_refuse_constant)
        SealedCalibration.model_validate(sealed)
        Calibration.model_validate(sealed["calibration"])
    except (ValueError, RecursionError) as error:
        raise CustomEngineError(f"{path}: it is no calibration; {_MAKE_ONE}") from error
    return sealed


def _refuse_constant(text: str) -> float:
    raise ValueError(text)  # NaN or infinity


def _seal(content: Mapping[str, Any], key: bytes) -> str:
    return hmac.digest(key, FORM.encode() + b"\n" + canonical(content), "sha256").hex()


def _read_key(directory: Path) -> bytes:
    path = directory / KEY_FILE
    try:
        with path.open("rb") as file:
            readable_by_others = os.fstat(file.fileno()).st_mode & 0o077
            key = file.read(KEY_BYTES + 1)
    except FileNotFoundError as error:
        raise CustomEngineError(f"{path}: the key is missing, so no calibration was made here; {_MAKE_ONE}") from error
    if readable_by_others:
        raise CustomEngineError(f"{path}: other users can read it; make it readable by its owner only (chmod 600)")
    if len(key) != KEY_BYTES:
        raise CustomEngineError(f"{path}: it is no key of {KEY_BYTES} bytes; remove it, and {_MAKE_ONE}")
    return key


def _read_or_make_key(directory: Path) -> bytes:
    path = directory / KEY_FILE
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(path, secrets.token_bytes(KEY_BYTES), mode=0o600, replace=False)
    return _read_key(directory)


def _write(path: Path, content: bytes, *, mode: int, replace: bool = True) -> None:
    """Write a file atomically. Without *replace*, an existing file stays."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            with contextlib.suppress(FileExistsError):
                path.hardlink_to(temporary)
        fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
