"""Networks that an operator might bring: SFace under another name, and small ones written here, byte by byte."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app.faces.cards.card import load_card
from app.faces.cards.custom_calibration import seal_calibration
from app.faces.cards.select import select_card
from app.faces.engines.onnx import OnnxEngine
from app.settings import Settings

SFACE = OnnxEngine.weights_files(load_card("sface").settings)[load_card("sface").settings["weights"]]
FED: Mapping[str, Any] = {"size": 112, "channels": "rgb", "mean": [0, 0, 0], "scale": 1.0, "alignment": "opencv112"}
POOLED = ("GlobalAveragePool", "data", "pooled")
"""Gives the mean of each channel: three numbers that can be worked out by hand."""


def bring(folder: Path, network: bytes | None = None, *, fed: Mapping[str, Any] = FED, **changes: Any) -> Path:
    """Put a network and its card into *folder*; gives the card.

    Without a network it is SFace, which lists its weights among its inputs, so that the picture's has to be named.
    """
    raw, fed = (SFACE.read_bytes(), {"input": "data", **fed}) if network is None else (network, fed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "our.onnx").write_bytes(raw)
    said = {
        "id": "ours",
        "engine": "A network of ours",
        "licence": "Apache-2.0",
        "training_data": "Not documented.",
        "depicted_people_agreed": False,
        "weights": "our.onnx",
        "weights_sha256": hashlib.sha256(raw).hexdigest(),
        "dimensions": 128 if network is None else 3,
        "metric": "cosine" if network is None else "l2",
        "default_target_fmr": 1e-4,
        "settings": dict(fed),
    }
    card = folder / "card.json"
    card.write_text(json.dumps(said | changes), "utf-8")
    return card


def settings_with(card: Path, **more: Any) -> Settings:
    """Return the settings of a service that runs the network of *card*; its directories are beside the card's."""
    root = card.parent.parent / "service"
    return Settings(engine=f"onnx:{card}", data_dir=root / "data", keys_dir=root / "keys", **more)


def calibrate(card: Path, **more: Any) -> Settings:
    """Seal the trial of `sface` as if `mien evaluate` had found it for the network of *card*."""
    settings = settings_with(card, **more)
    seal_calibration(report(settings), settings=settings)
    return settings


def report(settings: Settings) -> dict[str, Any]:
    """Return what `mien evaluate` would say, with the numbers of another trial."""
    card = select_card(settings, calibrated=False)
    calibration = load_card("sface").as_document()["calibration"]
    del calibration["fmr_by_origin"]
    return {
        "engine": {"id": card.id},
        "weights_sha256": card.weights_sha256,
        "date": "2026-11-26",
        "statement": {"origin": "Drawn, of nobody.", "people_agreed": "unknown"},
        "calibration": calibration,
    }


def network(*layers: tuple[str, str, str], inputs: Sequence[str] = ("data",), extra: bytes = b"") -> bytes:
    """Write an ONNX file: layers of one input each, then `Flatten` to three numbers.

    Args:
        layers: operator, input, output.
        inputs: names of what it takes, pictures of 112 px.
        extra: more fields of the graph, as they are.
    """
    last = layers[-1][2]
    nodes = b"".join(field(1, node(*layer)) for layer in (*layers, ("Flatten", last, "numbers")))
    taken = b"".join(field(11, value(name, 1, 3, 112, 112)) for name in inputs)
    graph = nodes + field(2, b"graph") + extra + taken + field(12, value("numbers", 1, 3))
    return number(1, 8) + field(7, graph) + field(8, number(2, 13))


def node(operator: str, taken: str, given: str) -> bytes:
    """Write a node; `a+b` is two inputs."""
    return b"".join(field(1, one.encode()) for one in taken.split("+")) + field(2, given.encode()) + field(4, operator)


def value(name: str, *shape: int) -> bytes:
    """Write what a graph takes or gives: 32-bit numbers of this shape."""
    sizes = b"".join(field(1, number(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, sizes)))


def number(tag: int, count: int) -> bytes:
    """Write a whole number as a protobuf field."""
    return _varint(tag << 3) + _varint(count)


def field(tag: int, content: bytes | str) -> bytes:
    """Write bytes or a text as a protobuf field."""
    raw = content.encode() if isinstance(content, str) else content
    return _varint(tag << 3 | 2) + _varint(len(raw)) + raw


def _varint(count: int) -> bytes:
    low = bytes([count & 127])
    return low if count < 128 else bytes([low[0] | 128]) + _varint(count >> 7)
