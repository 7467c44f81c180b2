"""Engine dependency of requests and jobs: pool, card and threshold."""

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
    """Largest distance, exclusive, at which two faces match. `cards/operating_point.py` chooses it."""
