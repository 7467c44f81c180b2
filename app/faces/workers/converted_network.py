"""The converted copy of an engine's network, which OpenCV runs faster than its own library does.

A process of its own makes the copy at the first start, in the data directory. The card has the SHA-256 of the copy.
Each start refuses another content and makes the copy again (law 12). Each number of a vector is that of the original
network to 1e-4, so vectors keep its hash as their label.
"""

import fcntl
import hashlib
import importlib.util
import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from app.faces.cards.card import Card
from app.faces.workers.process import ROOT, worker_environment
from app.kit.files import UnsafeFileError, mark_and_empty, open_regular, replace_file, work_directory

DIRECTORY: Final = "networks"
"""In the data directory. A backup leaves it out."""
_CONVERTER: Final = "app.faces.engines.convert_dlib"
_TIMEOUT_S: Final = 60.0


class _ConversionError(Exception):
    """The copy cannot be made; the text has the reason."""


def use_converted(card: Card, data_dir: Path) -> Card:
    """Return the card with the converted copy in force; if there can be none, the card with the reason."""
    if card.converted is None:
        return card
    path = data_dir.absolute() / DIRECTORY / card.converted.name
    try:
        _provide(path, card.converted.sha256)
    except (OSError, UnsafeFileError, _ConversionError, subprocess.SubprocessError) as error:
        return replace(card, not_converted=f"dlib runs its network, in eight times the time of OpenCV: {error}")
    others = {name: digest for name, digest in card.digests.items() if digest != card.weights_sha256}
    in_use = {**card.converted._asdict(), "used": True}
    return replace(
        card,
        document={**card.document, "converted": in_use},
        digests={**others, path.name: card.converted.sha256},
        settings={**card.settings, "network": str(path), "label_sha256": card.weights_sha256},
    )


def _provide(path: Path, sha256: str) -> None:
    if importlib.util.find_spec("cv2") is None:
        raise _ConversionError("OpenCV is not installed")
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with work_directory(path.parent) as handle:
        # Another start may be making it.
        fcntl.flock(handle, fcntl.LOCK_EX)
        if _sha256_of(path) == sha256:
            return
        mark_and_empty(handle)
        content = _convert()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise _ConversionError("the converted network is not the one on the card")
        replace_file(path, content, permissions=0o600)


def _sha256_of(path: Path) -> str | None:
    with suppress(FileNotFoundError, UnsafeFileError), open_regular(path) as file:
        return hashlib.sha256(file.read()).hexdigest()
    return None


def _convert() -> bytes:
    """Return the copy. The process keeps NumPy and the models out of the service, which holds keys."""
    command = [sys.executable, "-s", "-m", _CONVERTER]
    return subprocess.run(  # noqa: S603 - our own interpreter and module
        command,
        cwd=ROOT,
        env=worker_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_TIMEOUT_S,
        check=True,
    ).stdout
