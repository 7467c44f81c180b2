"""How large a gallery may be: DIR at a target FPIR by size, by number of references, and within each group.

In a group, the gallery and all probes are of that group: most strangers at a door are as alike as that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from app.evaluation.groups import Groups, Ints
from app.evaluation.references import rows_of
from app.evaluation.resampling import Draws
from app.evaluation.scores import Floats, Metric
from app.evaluation.search import Searches, over_people, search, sizes
from app.faces.cards.supports import FPIR

FPIR_TARGETS: Final = (10 * FPIR, FPIR)
REFERENCES: Final = (1, 2, 3, 5)
HIGHEST_FMR: Final = 1e-2
"""Higher thresholds are not tried: even a gallery of ten would miss the targets there."""


@dataclass(frozen=True, slots=True)
class GalleryTrial:
    """The measured people, and the choices for their galleries."""

    vectors: Floats
    person: Ints
    metric: Metric
    groups: Groups
    levels: Sequence[float]
    """The thresholds to choose from, in rising order."""
    most_references: int
    draws: Draws

    def search(self, group: int | None = None, references: int = 1) -> Searches | None:
        """Search everyone, or the people of one group among themselves; None if these are fewer than two."""
        people = rows_of(self.person)
        if group is not None:
            people = [rows for rows in people if self.groups.of_person[self.person[rows[0]]] == group]
        return (
            search(self.vectors, people, self.metric, self.levels, references=references) if len(people) > 1 else None
        )


def galleries(trial: GalleryTrial, everyone: Searches) -> list[dict[str, Any]]:
    """Return, by group, references, size and target: the threshold with that FPIR at most, and the DIR there.

    The threshold is the largest level that keeps the target over people. Without one, all three are None: the trial is
    too small to show such a rate, or no level keeps it.

    Args:
        trial: the people, and the choices.
        everyone: the searches of all people with one reference.
    """
    named: list[tuple[str | None, int | None]] = [
        (None, None),
        *((one, n) for n, one in enumerate(trial.groups.labels)),
    ]
    rows: list[dict[str, Any]] = []
    for label, group in named:
        for references in (one for one in REFERENCES if one <= trial.most_references):
            searches = everyone if (group, references) == (None, 1) else trial.search(group, references)
            rows += ({"group": label, "references": references, **row} for row in _rows(trial, searches))
    return rows


def _rows(trial: GalleryTrial, searches: Searches | None) -> Iterator[dict[str, Any]]:
    if searches is None:
        yield {"gallery": 1, "people": 0, "target_fpir": FPIR, "threshold": None, **_NOTHING}
        return
    people = len(np.unique(searches.owner[searches.mated]))
    asked = [
        (size, target, _level(searches.levels, rates, target))
        for size in sizes(searches.people)
        for rates in [searches.fpir(size)]
        for target in FPIR_TARGETS
    ]
    points = [(size, level) for size, _, level in asked if level is not None]
    found = iter(over_people(searches, points, trial.draws))
    for size, target, level in asked:
        rates = _NOTHING if level is None else next(found)
        yield {"gallery": size, "people": people, "target_fpir": target, "threshold": level, **rates}


_NOTHING: Final[dict[str, Any]] = {"dir_rank_1": None, "fpir": None, "ci95_by_person": None}


def _level(levels: Floats, fpir: Floats, target: float) -> float | None:
    """Return the largest of *levels* that keeps the target."""
    kept = np.flatnonzero(fpir <= target)
    return float(levels[kept[-1]]) if len(kept) else None
