"""Card of an operator's own network: its fields, and the check of the network beside it.

A network without a card, or with another hash than on its card, does not load (law 12). Only `mien evaluate` makes a
calibration for it (`app/faces/cards/custom_calibration.py`).
"""

import hashlib
import json
import mmap
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.faces.cards.card import Card, load_card, parse_card, shipped_cards
from app.faces.engine import PHOTO_SIDE, Metric
from app.kit.errors import OperatorError
from app.kit.json import RepeatedMemberError, parse_json
from app.kit.text import ReadableText, to_utf8

HELP: Final = "(docs/how-to/use-your-own-engine.md)"
MAX_CARD_BYTES: Final = 64 * 1024
FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_BASE: Final = "sface"
"""Shipped engine whose detector and alignment a custom network uses."""
_EXTERNAL_WEIGHTS: Final = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
"""Sign of weights in another file: the ONNX key `location`, in every encoding that protobuf allows."""

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Factor = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)]
Text = Annotated[ReadableText, Field(min_length=1, max_length=2000)]
Side = Annotated[int, Field(ge=64, le=PHOTO_SIDE)]


class CustomEngineError(OperatorError):
    """An operator's network cannot be used. The message has the reason and the next step."""


class CardPart(BaseModel):
    """A part of an operator's card. An unknown member is refused, so that no misspelt one is ignored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NetworkInput(CardPart):
    """Input of the network. Another value of any member changes the vectors and needs a new calibration."""

    size: Annotated[int, Field(ge=16, le=1024)]
    """Width and height of the network's input, in pixels."""
    channels: Literal["rgb", "bgr"]
    mean: tuple[Number, Number, Number]
    """Subtracted from each channel (0 to 255), in the order of `channels`."""
    scale: Factor | tuple[Factor, Factor, Factor]
    """Multiplies the result: one number, or one for each channel."""
    alignment: Literal["opencv112", "box"]
    input: Annotated[ReadableText, Field(max_length=200)] = ""
    """Name of the network's input. Required only if the network lists weights among its inputs."""
    side: Side = 640
    detect_side: Side = 480
    detect_score: Annotated[float, Field(gt=0, lt=1)] = 0.8


class OperatorCard(CardPart):
    """Fields that each card of an operator has."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    engine: Text
    """Name for people to read."""
    default_target_fmr: Annotated[float, Field(gt=0, lt=1)]


CardKind = TypeVar("CardKind", bound=OperatorCard)


class CustomCard(OperatorCard):
    """The operator's description of a network."""

    licence: Text
    training_data: Text
    depicted_people_agreed: bool
    weights: Annotated[str, Field(pattern=FILE_NAME)]
    """File name of the network, beside the card."""
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dimensions: Annotated[int, Field(ge=1, le=4096)]
    metric: Metric
    settings: NetworkInput


@dataclass(frozen=True, slots=True)
class OperatorEngine(ABC):
    """An engine of the operator: a card whose networks were checked."""

    path: Path

    @property
    @abstractmethod
    def name(self) -> str:
        """The id on the operator's card."""

    @property
    @abstractmethod
    def weights_sha256(self) -> str:
        """SHA-256 of the network, or of the hashes of several."""

    @property
    @abstractmethod
    def pipeline_sha256(self) -> str:
        """SHA-256 of everything, besides the networks, that a vector depends on."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the public document of the engine, without a calibration."""

    @abstractmethod
    def worker_settings(self) -> dict[str, Any]:
        """Return settings for the worker that are not public, such as paths."""

    @property
    def engine_id(self) -> str:
        """Id of the card and the start of `pipeline_sha256`: other settings make another engine."""
        return f"{self.name}@{self.pipeline_sha256[:12]}"

    @property
    def label_sha256(self) -> str:
        """SHA-256 of the networks' hash and `pipeline_sha256`; templates carry it as `weights_sha256`.

        The same network gives other numbers with other settings, so the file's hash alone is not enough.
        """
        return hashlib.sha256(f"{self.weights_sha256}{self.pipeline_sha256}".encode()).hexdigest()

    def build_card(self, sealed: Mapping[str, Any] | None) -> Card:
        """Return the engine's card.

        Args:
            sealed: the sealed calibration; without one the card supports no false match rate.
        """
        document = {**self.describe(), "id": self.engine_id}
        if sealed is not None:
            document |= {name: sealed[name] for name in ("statement", "calibration")}
            document["calibrated"] = {name: sealed[name] for name in ("date", "opencv", "machine")}
        card = parse_card(document, calibrated=sealed is not None)
        return replace(
            card,
            weights_sha256=self.label_sha256,
            settings={**card.settings, **self.worker_settings(), "label_sha256": self.label_sha256},
            document={**card.document, "weights_sha256": self.label_sha256},
        )


@dataclass(frozen=True, slots=True)
class CustomEngine(OperatorEngine):
    """One network of the operator."""

    custom_card: CustomCard

    @property
    def name(self) -> str:
        """The id on the card."""
        return self.custom_card.id

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the network."""
        return self.custom_card.weights_sha256

    @property
    def pipeline_sha256(self) -> str:
        """SHA-256 of everything, besides the network, that a vector depends on."""
        custom, base = self.custom_card, load_card(_BASE)
        shipped_files = {name: digest for name, digest in base.digests.items() if name != custom.weights}
        fields = custom.model_dump(mode="json", include={"settings", "dimensions", "metric"})
        return hashlib.sha256(canonical({**fields, "files": shipped_files})).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return the card's fields with the pipeline and all files."""
        fields = self.custom_card.model_dump(mode="json", exclude={"weights_sha256"})
        return {**fields, "pipeline": self._pipeline(), "files": self._files(load_card(_BASE))}

    def worker_settings(self) -> dict[str, Any]:
        """Return the directory of the network."""
        return {"directory": str(self.path.parent.absolute())}

    def _pipeline(self) -> str:
        used = self.custom_card.settings
        return (
            f"YuNet score {used.detect_score:g} at {used.detect_side} px; {used.alignment}; {used.size} px, "
            f"{used.channels}, mean {list(used.mean)}, scale {used.scale}; settings {self.pipeline_sha256[:12]}"
        )

    def _files(self, base: Card) -> list[dict[str, Any]]:
        custom = self.custom_card
        network = {
            "name": custom.weights,
            "sha256": custom.weights_sha256,
            "role": "describes a face; brought by the operator",
            "used": True,
            "licence": custom.licence,
            "training_data": custom.training_data,
            "depicted_people_agreed": custom.depicted_people_agreed,
        }
        shipped = [dict(file) for file in base.document["files"]]
        for file in shipped:
            if file["name"] == base.document["weights"]:
                file["role"] = "OpenCV aligns with it; it describes no face"
        return [network, *shipped]


def read_custom_engine(path: Path) -> CustomEngine:
    """Read an operator's card and check the network beside it.

    Raises:
        CustomEngineError: the card or the network cannot be used.
    """
    custom = read_card(path, CustomCard)
    if custom.weights in load_card(_BASE).digests:
        raise CustomEngineError(f"{path}: weights: {custom.weights} is a file of Mien; give yours another name {HELP}")
    _check_network(path.parent / custom.weights, custom.weights_sha256)
    return CustomEngine(path, custom)


def read_card(path: Path, kind: type[CardKind]) -> CardKind:
    """Read an operator's card of one kind.

    Raises:
        CustomEngineError: it is no such card, or has the id of an engine of Mien.
    """
    text = read_text(path, max_bytes=MAX_CARD_BYTES, content="a card")
    try:
        card = kind.model_validate_json(text)
        parse_json(text)
    except RepeatedMemberError as error:
        raise CustomEngineError(f"{path}: {error}; keep one of them {HELP}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        member = ".".join(map(str, first["loc"])) + ": " if first["loc"] else ""
        raise CustomEngineError(f"{path}: {member}{first['msg']}; correct the card {HELP}") from error
    if card.id in {shipped.id for shipped in shipped_cards()}:
        raise CustomEngineError(f"{path}: id: {card.id} is an engine of Mien; give yours another id {HELP}")
    return card


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return the canonical bytes of JSON values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_text(path: Path, *, max_bytes: int, content: str) -> str:
    """Read a text file of the operator.

    Raises:
        CustomEngineError: the file does not exist, is too large, or is not text.
    """
    if not path.is_file():
        raise CustomEngineError(
            f"{path}: there is no such file; MIEN_ENGINE is onnx: or fused: and the path of a card {HELP}"
        )
    with path.open("rb") as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise CustomEngineError(f"{path}: it has more than {max_bytes} bytes, so it is not {content} {HELP}")
    try:
        return to_utf8(raw).decode()
    except UnicodeDecodeError as error:
        raise CustomEngineError(f"{path}: it is not text, so it is not {content} {HELP}") from error


def _check_network(path: Path, digest: str) -> None:
    """Refuse a network with another hash than on its card, or with weights in other files."""
    if not path.is_file():
        raise CustomEngineError(f"{path}: the network is missing; put it beside its card {HELP}")
    if path.stat().st_size == 0:
        raise CustomEngineError(f"{path}: the network is empty; copy it again {HELP}")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        found, external = hashlib.sha256(raw).hexdigest(), _EXTERNAL_WEIGHTS.search(raw) is not None
    if found != digest:
        raise CustomEngineError(
            f"{path}: its SHA-256 is {found}, but the card has the weights_sha256 {digest}; copy the right file, or "
            f"correct the card {HELP}"
        )
    if external:
        raise CustomEngineError(f"{path}: it has weights in files that no hash covers; save it as one file {HELP}")
