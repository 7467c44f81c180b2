"""What the rooms above are given to measure with: the pool, the card, and the threshold that the target picked."""

from dataclasses import dataclass

from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.workers.pool import EnginePool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEngine:
    """The engine in force."""

    pool: EnginePool
    card: Card
    target_fmr: float
    target_group: TargetGroup = TargetGroup.WORST
    threshold: float
    """Two faces at a smaller distance than this are taken for one person's."""
