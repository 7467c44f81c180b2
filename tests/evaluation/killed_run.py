"""An evaluation in a process of its own, with the toy engine.

``python -m tests.evaluation.killed_run FOLDER OUT CACHE``.

It prints a line for each cached image and then waits a moment, so that it can be killed between any two.
"""

import sys
import time
from pathlib import Path

from app.cli import evaluate as evaluating
from app.cli.program import app
from app.evaluation.cache import Cache, Outcome
from app.faces.cards.card import Card
from app.faces.workers.pool import EnginePool
from app.settings import Settings
from tests.support import toy_engine


def engine(settings: Settings, *, calibrated: bool) -> tuple[EnginePool, Card]:
    """Return a pool of the toy engine."""
    card = toy_engine.toy_card()
    queue = settings.engine_queue
    return EnginePool(
        engine=toy_engine.SPEC, card=card, workers=1, queue=queue, timeout_s=10, memory_bytes=1 << 30
    ), card


def main(folder: Path, out: Path, cache: Path) -> None:
    """Run the evaluation with a slow cache."""
    add = Cache.add

    def slowly(self: Cache, key: str, outcome: Outcome) -> None:
        add(self, key, outcome)
        sys.stdout.write("kept\n")
        sys.stdout.flush()
        time.sleep(0.1)

    Cache.add = slowly  # type: ignore[method-assign]
    vars(evaluating)["create_engine"] = engine
    words = ["evaluate", folder, "--origin", "drawn", "--agreed", "yes", "--out", out, "--cache", cache]
    app([str(word) for word in words], prog_name="mien")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
