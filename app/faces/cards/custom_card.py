"""The card of a network that an operator brings: what has to stand on it, and that the network beside it is that one.

Law 12 holds for it as for what ships: no card, or another hash, and it does not load. What it lacks is a calibration,
which only `mien evaluate` makes (`app/faces/cards/custom_calibration.py`).
"""

import hashlib
import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.faces.cards.card import Card, load_card, parse_card, shipped_cards
from app.faces.engine import PHOTO_SIDE, Metric
from app.kit.text import ReadableText

HOW: Final = "(docs/how-to/use-your-own-engine.md)"
MOST_CARD_BYTES: Final = 64 * 1024
_FILE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
_BASE: Final = "sface"
"""Whose detector and alignment it is run with."""
_ELSEWHERE: Final = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")
"""How an ONNX file says that weights are in another file: the key `location`, written in any way protobuf allows."""

Number = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Factor = Annotated[float, Field(allow_inf_nan=False, gt=0, le=1e6)]
Text = Annotated[ReadableText, Field(min_length=1, max_length=2000)]
Side = Annotated[int, Field(ge=64, le=PHOTO_SIDE)]


class CustomEngineError(Exception):
    """An operator's network cannot be used; says why, and what to do."""


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class NetworkInput(_Strict):
    """How the network is run. Each member changes the vectors, and so needs a calibration of its own."""

    size: Annotated[int, Field(ge=16, le=1024)]
    """Pixels, width and height of what the network is given."""
    channels: Literal["rgb", "bgr"]
    mean: tuple[Number, Number, Number]
    """Taken from each channel (0 to 255), in the order of `channels`."""
    scale: Factor | tuple[Factor, Factor, Factor]
    """By which it is multiplied then: one number, or one for each channel."""
    alignment: Literal["opencv112", "box"]
    input: Annotated[ReadableText, Field(max_length=200)] = ""
    """The network's own name for it; needed only where it lists weights among its inputs."""
    side: Side = 640
    detect_side: Side = 480
    detect_score: Annotated[float, Field(gt=0, lt=1)] = 0.8


class CustomCard(_Strict):
    """What an operator says of a network."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,47}$")]
    engine: Text
    """Its name, for people."""
    licence: Text
    training_data: Text
    depicted_people_agreed: bool
    weights: Annotated[str, Field(pattern=_FILE_NAME)]
    """The network's file, beside the card."""
    weights_sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    dimensions: Annotated[int, Field(ge=1, le=4096)]
    metric: Metric
    default_target_fmr: Annotated[float, Field(gt=0, lt=1)]
    settings: NetworkInput


@dataclass(frozen=True, slots=True)
class CustomEngine:
    """A card that was read, with its network checked."""

    path: Path
    says: CustomCard

    def card(self, sealed: Mapping[str, Any] | None) -> Card:
        """Return the engine's card.

        Args:
            sealed: the calibration as it was sealed; without one the card supports no false match rate.
        """
        says, base = self.says, load_card(_BASE)
        document = {
            **says.model_dump(mode="json", exclude={"weights_sha256"}),
            "id": self.engine_id,
            "pipeline": self._pipeline(),
            "files": self._files(base),
        }
        if sealed is not None:
            made = {name: sealed[name] for name in ("date", "opencv", "machine")}
            document |= {"statement": sealed["statement"], "calibrated": made, "calibration": sealed["calibration"]}
        card = parse_card(document, calibrated=sealed is not None)
        told = {"directory": str(self.path.parent.absolute()), "label_sha256": self.label_sha256}
        return replace(
            card,
            weights_sha256=self.label_sha256,
            settings={**card.settings, **told},
            document={**card.document, "weights_sha256": self.label_sha256},
        )

    @property
    def engine_id(self) -> str:
        """Return its id and the beginning of `pipeline_sha256`: templates of other settings are of another engine."""
        return f"{self.says.id}@{self.pipeline_sha256[:12]}"

    @property
    def pipeline_sha256(self) -> str:
        """Return the SHA-256 of all, besides the network, that a vector depends on."""
        says, base = self.says, load_card(_BASE)
        shipped_files = {name: digest for name, digest in base.digests.items() if name != says.weights}
        said = says.model_dump(mode="json", include={"settings", "dimensions", "metric"})
        return hashlib.sha256(canonical({**said, "files": shipped_files})).hexdigest()

    @property
    def label_sha256(self) -> str:
        """Return what templates carry as `weights_sha256`: of the network's SHA-256 and `pipeline_sha256` together.

        One network that is fed otherwise gives other numbers, so that the file's hash would not tell them apart.
        """
        return hashlib.sha256(f"{self.says.weights_sha256}{self.pipeline_sha256}".encode()).hexdigest()

    def _pipeline(self) -> str:
        fed = self.says.settings
        return (
            f"YuNet score {fed.detect_score:g} at {fed.detect_side} px; {fed.alignment}; {fed.size} px, "
            f"{fed.channels}, mean {list(fed.mean)}, scale {fed.scale}; settings {self.pipeline_sha256[:12]}"
        )

    def _files(self, base: Card) -> list[dict[str, Any]]:
        says = self.says
        brought = {
            "name": says.weights,
            "sha256": says.weights_sha256,
            "role": "describes a face; brought by the operator",
            "used": True,
            "licence": says.licence,
            "training_data": says.training_data,
            "depicted_people_agreed": says.depicted_people_agreed,
        }
        aligns = {"role": "OpenCV aligns with it; it describes nobody"}
        weights = base.document["weights"]
        return [brought, *({**one, **(aligns if one["name"] == weights else {})} for one in base.document["files"])]


def read_custom_engine(path: Path) -> CustomEngine:
    """Read an operator's card, and check the network beside it.

    Raises:
        OwnEngineError: one of them cannot be used.
    """
    own = CustomEngine(path, _said(path))
    taken = {card.id for card in shipped_cards()}
    if own.says.id in taken:
        raise CustomEngineError(
            f"{path}: id: {own.says.id} is an engine that ships with Mien; give yours another id {HOW}"
        )
    if own.says.weights in load_card(_BASE).digests:
        raise CustomEngineError(
            f"{path}: weights: {own.says.weights} is a file that ships; give yours another name {HOW}"
        )
    _check_network(path.parent / own.says.weights, own.says.weights_sha256)
    return own


def canonical(value: Mapping[str, Any]) -> bytes:
    """Return JSON values as the same bytes, however they were written."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def read_text(path: Path, *, most_bytes: int, what: str) -> str:
    """Read a file that an operator named.

    Raises:
        OwnEngineError: there is none, it is too large, or no text.
    """
    if not path.is_file():
        raise CustomEngineError(f"{path}: there is no such file; MIEN_ENGINE=onnx:PATH names {what} {HOW}")
    with path.open("rb") as file:
        raw = file.read(most_bytes + 1)
    if len(raw) > most_bytes:
        raise CustomEngineError(f"{path}: it has more than {most_bytes} bytes and is not {what} {HOW}")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise CustomEngineError(f"{path}: it is no text and not {what} {HOW}") from error


def _said(path: Path) -> CustomCard:
    text = read_text(path, most_bytes=MOST_CARD_BYTES, what="the card of an engine of your own")
    try:
        return CustomCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CustomEngineError(
            f"{path}: {where + ': ' if where else ''}{first['msg']}; correct the card {HOW}"
        ) from error


def _check_network(path: Path, digest: str) -> None:
    """Refuse a network that is not the one on its card, or has parts elsewhere, which no hash would cover."""
    if not path.is_file():
        raise CustomEngineError(f"{path}: the network is not there; put it beside its card {HOW}")
    if path.stat().st_size == 0:
        raise CustomEngineError(f"{path}: the network is empty; copy it again {HOW}")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as raw:
        found, elsewhere = hashlib.sha256(raw).hexdigest(), _ELSEWHERE.search(raw) is not None
    if found != digest:
        raise CustomEngineError(
            f"{path}: its SHA-256 is {found}, and weights_sha256 on the card says {digest}; bring the right file, or "
            f"correct the card {HOW}"
        )
    if elsewhere:
        raise CustomEngineError(
            f"{path}: it keeps weights in other files, which no hash covers; save it as one file {HOW}"
        )
