"""Converted copies of an engine's models: OpenCV runs the network faster than dlib, and the detector loads at once.

A process of its own makes the copies at the first start, in the data directory. The card has their SHA-256. Each start
refuses another content and makes the copies again (law 12). Each number of a vector is that of the original network to
1e-4, so vectors keep its hash as their label.
"""

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from app.faces.cards.card import Card
from app.faces.workers.process import ROOT, worker_environment
from app.kit.files import UnsafeFileError, mark_and_empty, read_limited, replace_file, work_directory

DIRECTORY: Final = "networks"
"""In the data directory. A backup leaves it out."""
CONVERTED_ENGINE: Final = "app.faces.engines.converted_face_recognition:ConvertedFaceRecognition"
"""Runs the copies."""
_CONVERTER: Final = "app.faces.engines.convert_dlib"
CONVERSION_S: Final = 60.0
"""Seconds until one conversion counts as failed; it takes less than two."""
MAX_COPY_BYTES: Final = 64 * 1024 * 1024
"""A larger file is no copy: the network has 22 MB."""

log = structlog.get_logger()


class _ConversionError(Exception):
    """The copies cannot be made; the text has the reason."""


def use_converted(card: Card, data_dir: Path) -> Card:
    """Return the card with the converted copies in force; if there can be none, the card with the reason."""
    if not card.converted:
        return card
    directory = data_dir.absolute() / DIRECTORY
    try:
        _provide(directory, card.converted)
    except (OSError, UnsafeFileError, _ConversionError) as error:
        reason = f"dlib runs its network, in eight times the time of OpenCV: {error}"
        log.warning("the engine runs without its converted copies", reason=reason)
        return replace(card, not_converted=reason)
    others = {name: digest for name, digest in card.digests.items() if digest != card.weights_sha256}
    return replace(
        card,
        document={**card.document, "converted": {**card.document["converted"], "used": True}},
        digests={**others, **card.converted},
        settings={**card.settings, "converted": str(directory), "label_sha256": card.weights_sha256},
    )


def _provide(directory: Path, converted: Mapping[str, str]) -> None:
    if importlib.util.find_spec("cv2") is None:
        raise _ConversionError("OpenCV is not installed")
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with work_directory(directory) as handle:
        # Another start may be making them.
        fcntl.flock(handle, fcntl.LOCK_EX)
        if all(_sha256_of(directory / name) == sha256 for name, sha256 in converted.items()):
            return
        mark_and_empty(handle)
        for name, sha256 in converted.items():
            content = _convert(name)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise _ConversionError(f"the converted {name} is not the one on the card")
            replace_file(directory / name, content, permissions=0o600)


def _sha256_of(path: Path) -> str | None:
    with suppress(FileNotFoundError, UnsafeFileError):
        return hashlib.sha256(read_limited(path, max_bytes=MAX_COPY_BYTES, follow=False)).hexdigest()
    return None


def _convert(name: str) -> bytes:
    """Return a copy. The process keeps NumPy and the models out of the service, which holds keys."""
    command = [sys.executable, "-s", "-m", _CONVERTER, name]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, cwd=ROOT, env=worker_environment(), capture_output=True, timeout=CONVERSION_S, check=True
        )
    except subprocess.SubprocessError as error:
        raise _ConversionError(f"{name} cannot be converted on this machine") from error
    return done.stdout
