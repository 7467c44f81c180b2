"""Networks of an operator: SFace under another name, and small ONNX files encoded here."""

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
INPUT: Mapping[str, Any] = {"size": 112, "channels": "rgb", "mean": [0, 0, 0], "scale": 1.0, "alignment": "opencv112"}
POOLED = ("GlobalAveragePool", "data", "pooled")
"""Returns the mean of each channel: three numbers that are easy to calculate."""


def write_card(
    folder: Path, network: bytes | None = None, *, network_input: Mapping[str, Any] = INPUT, **changes: Any
) -> Path:
    """Write a network and its card into *folder*, and return the path of the card.

    The default network is SFace. It lists its weights among its inputs, so its card has to name the picture's input.
    """
    raw, network_input = (
        (SFACE.read_bytes(), {"input": "data", **network_input}) if network is None else (network, network_input)
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "our.onnx").write_bytes(raw)
    document = {
        "id": "ours",
        "engine": "Our network",
        "licence": "Apache-2.0",
        "training_data": "Not documented.",
        "depicted_people_agreed": False,
        "weights": "our.onnx",
        "weights_sha256": hashlib.sha256(raw).hexdigest(),
        "dimensions": 128 if network is None else 3,
        "metric": "cosine" if network is None else "l2",
        "default_target_fmr": 1e-4,
        "settings": dict(network_input),
    }
    card = folder / "card.json"
    card.write_text(json.dumps(document | changes), "utf-8")
    return card


def write_fused_card(folder: Path, weights: Sequence[float] = (0.7, 0.3), **changes: Any) -> Path:
    """Write a card that fuses `sface` with SFace on another crop, and return its path."""
    own = write_card(folder, network_input={**INPUT, "alignment": "box"})
    document = {
        "id": "pair",
        "engine": "SFace twice",
        "default_target_fmr": 1e-4,
        "networks": [
            {"card": name, "weight": weight} for name, weight in zip(("sface", own.name), weights, strict=True)
        ],
    }
    card = folder / "fused.json"
    card.write_text(json.dumps(document | changes), "utf-8")
    return card


def settings_with(card: Path, **changes: Any) -> Settings:
    """Return the settings of a service that runs the networks of *card*."""
    root = card.parent.parent / "service"
    kind = "fused" if card.name == "fused.json" else "onnx"
    return Settings(engine=f"{kind}:{card}", data_dir=root / "data", keys_dir=root / "keys", **changes)


def calibrate(card: Path, **changes: Any) -> Settings:
    """Seal the trial of `sface` as the calibration of the network of *card*. Return the settings of the service."""
    settings = settings_with(card, **changes)
    seal_calibration(report(settings), settings=settings)
    return settings


def report(settings: Settings) -> dict[str, Any]:
    """Return a report of `mien evaluate` on the operator's network, with the numbers of the trial of `sface`."""
    card = select_card(settings, calibrated=False)
    calibration = load_card("sface").as_document()["calibration"]
    del calibration["fmr_by_origin"]
    return {
        "engine": {"id": card.id},
        "weights_sha256": card.weights_sha256,
        "date": "2026-11-26",
        "statement": {"origin": "Drawings, not people.", "people_agreed": "unknown"},
        "calibration": calibration,
    }


def network(*layers: tuple[str, str, str], inputs: Sequence[str] = ("data",), extra: bytes = b"") -> bytes:
    """Encode an ONNX file: layers of one input each, then `Flatten` to three numbers.

    Args:
        layers: operator, input, output.
        inputs: names of the inputs, pictures of 112 px.
        extra: more fields of the graph, already encoded.
    """
    last = layers[-1][2]
    nodes = b"".join(field(1, node(*layer)) for layer in (*layers, ("Flatten", last, "numbers")))
    encoded_inputs = b"".join(field(11, value(name, 1, 3, 112, 112)) for name in inputs)
    graph = nodes + field(2, b"graph") + extra + encoded_inputs + field(12, value("numbers", 1, 3))
    return number(1, 8) + field(7, graph) + field(8, number(2, 13))


def node(operator: str, inputs: str, output: str) -> bytes:
    """Encode a node; `a+b` is two inputs."""
    return (
        b"".join(field(1, one.encode()) for one in inputs.split("+")) + field(2, output.encode()) + field(4, operator)
    )


def value(name: str, *shape: int) -> bytes:
    """Encode an input or output of a graph: 32-bit numbers of this shape."""
    sizes = b"".join(field(1, number(1, size)) for size in shape)
    return field(1, name) + field(2, field(1, number(1, 1) + field(2, sizes)))


def number(tag: int, count: int) -> bytes:
    """Encode an integer as a protobuf field."""
    return _varint(tag << 3) + _varint(count)


def field(tag: int, content: bytes | str) -> bytes:
    """Encode bytes or a text as a protobuf field."""
    raw = content.encode() if isinstance(content, str) else content
    return _varint(tag << 3 | 2) + _varint(len(raw)) + raw


def _varint(count: int) -> bytes:
    low = bytes([count & 127])
    return low if count < 128 else bytes([low[0] | 128]) + _varint(count >> 7)
