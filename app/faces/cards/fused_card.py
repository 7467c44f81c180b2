"""Card of two networks whose distances are added by weight: one face is found once, and both networks describe it.

Each network has the metric cosine. A vector is both vectors of length 1, each times the root of its weight. So the
cosine distance of two such vectors is the weighted sum of both distances, and templates need no form of their own.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, model_validator

from app.faces.cards.card import Card, load_card
from app.faces.cards.custom_card import (
    FILE_NAME,
    HELP,
    CardPart,
    CustomEngineError,
    OperatorCard,
    OperatorEngine,
    canonical,
    read_card,
    read_custom_engine,
)

SHIPPED: Final = "sface"
"""Engine of Mien whose network can be one of the two."""


class FusedNetwork(CardPart):
    """One of the two networks."""

    card: Annotated[str, Field(pattern=FILE_NAME)]
    """`sface`, or the file name of a card of one network, beside this card."""
    weight: Annotated[float, Field(gt=0, lt=1)]
    """Share of this network's distance."""


class FusedCard(OperatorCard):
    """The operator's description of two networks."""

    networks: tuple[FusedNetwork, FusedNetwork]
    """Faces are found as the first one's settings say."""

    @model_validator(mode="after")
    def _check_sum(self) -> Self:
        total = sum(network.weight for network in self.networks)
        if not math.isclose(total, 1, abs_tol=1e-9):
            msg = f"the weights add up to {total:g}, not to 1"
            raise ValueError(msg)
        return self


@dataclass(frozen=True, slots=True)
class FusedEngine(OperatorEngine):
    """Two networks with their weights."""

    fused_card: FusedCard
    cards: tuple[Card, Card]
    """Cards of the networks, without calibrations."""

    @property
    def name(self) -> str:
        """The id on the card."""
        return self.fused_card.id

    @property
    def weights_sha256(self) -> str:
        """SHA-256 of the hashes of both networks."""
        return hashlib.sha256(
            "".join(card.digests[card.settings["weights"]] for card in self.cards).encode()
        ).hexdigest()

    @property
    def pipeline_sha256(self) -> str:
        """SHA-256 of both weights, both networks' settings, and the hashes of all files."""
        networks = [
            {
                "weight": weight,
                "dimensions": card.dimensions,
                "settings": card.document["settings"],
                "files": card.digests,
            }
            for weight, card in self._weighted()
        ]
        return hashlib.sha256(canonical({"networks": networks})).hexdigest()

    def describe(self) -> dict[str, Any]:
        """Return the public document: the joined statements of both networks, and every file once."""
        files = {file["name"]: dict(file) for card in reversed(self.cards) for file in card.document["files"]}
        for weight, card in self._weighted():
            files[card.settings["weights"]]["role"] = f"describes a face; its distance has the weight {weight:g}"
        return {
            **self.fused_card.model_dump(mode="json", exclude={"networks"}),
            "licence": self._join("licence"),
            "training_data": self._join("training_data"),
            "depicted_people_agreed": all(card.depicted_people_agreed for card in self.cards),
            "dimensions": sum(card.dimensions for card in self.cards),
            "metric": "cosine",
            "pipeline": self._join("pipeline"),
            "weights": self.cards[0].settings["weights"],
            "settings": {"networks": self._networks([card.document["settings"] for card in self.cards])},
            "files": list(files.values()),
        }

    def worker_settings(self) -> dict[str, Any]:
        """Return the networks with their directories."""
        return {"networks": self._networks([card.settings for card in self.cards])}

    def _networks(self, settings: Sequence[Any]) -> list[dict[str, Any]]:
        return [
            {"id": card.id, "weight": weight, "settings": dict(own)}
            for (weight, card), own in zip(self._weighted(), settings, strict=True)
        ]

    def _weighted(self) -> list[tuple[float, Card]]:
        return [(one.weight, card) for one, card in zip(self.fused_card.networks, self.cards, strict=True)]

    def _join(self, member: str) -> str:
        """Join a text of both cards. It names no engine, since a notice must not name one that is not in force."""
        first, second = (str(getattr(card, member)).removesuffix(".") for card in self.cards)
        return f"First network: {first}. Second network: {second}."


def read_fused_engine(path: Path) -> FusedEngine:
    """Read a card of two networks, their own cards, and check the networks.

    Raises:
        CustomEngineError: a card or a network cannot be used, or the two cannot be fused.
    """
    fused = read_card(path, FusedCard)
    first, second = (_read_network(path, one.card) for one in fused.networks)
    if first.weights_sha256 == second.weights_sha256:
        raise CustomEngineError(f"{path}: networks: both are {first.id}; name two that differ {HELP}")
    return FusedEngine(path, fused, (first, second))


def _read_network(path: Path, name: str) -> Card:
    if name == SHIPPED:
        return load_card(SHIPPED)
    if not path.with_name(name).is_file():
        raise CustomEngineError(
            f"{path}: networks: there is no {name} beside it; name {SHIPPED}, or the card of your network {HELP}"
        )
    card = read_custom_engine(path.with_name(name)).build_card(None)
    if card.metric != "cosine":
        raise CustomEngineError(
            f"{path}: networks: {name} has the metric {card.metric}; only cosine distances can be added. Set its "
            f"metric to cosine {HELP}"
        )
    return card
