"""The engine in force, as requests and jobs use it: pool, card and threshold."""

from dataclasses import dataclass

from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint, find_operating_point
from app.faces.workers.pool import EnginePool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEngine:
    """The engine in force."""

    pool: EnginePool
    card: Card
    target_fmr: float
    target_group: TargetGroup = TargetGroup.WORST
    threshold: float
    """Two faces match at a smaller distance. `cards/operating_point.py` chooses it."""

    @property
    def operating_point(self) -> OperatingPoint:
        """The operating point for the target."""
        return find_operating_point(self.card, self.target_fmr, self.target_group)
