"""Several enrolled images: their mean as one reference, or all of them and the nearest counts.

References are a person's first images, by name; probes are later ones, the same for every number of references, so that
the rows can be compared. People with too few images are left out, and it is said how many remain.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from app.evaluation.groups import Ints
from app.evaluation.rates import shown
from app.evaluation.scores import BLOCK, Floats, Metric, distances, mean

MOST_PROBES: Final = 20
"""Of one person, so that those with very many images do not stand for all."""


def rows_of(person: Ints) -> list[Ints]:
    """Return each person's rows, in order; of those with any."""
    return [np.flatnonzero(person == one) for one in np.unique(person)]


def references(
    vectors: Floats, person: Ints, metric: Metric, thresholds: Sequence[float], *, most: int
) -> dict[str, Any] | None:
    """Return the rates at each of *thresholds* for one to *most* references; nothing where nobody has two images."""
    everybody = rows_of(person)
    most = min(most, max(map(len, everybody)) - 1)
    people = [rows for rows in everybody if len(rows) > most]
    if most < 1:
        return None
    probes = np.concatenate([rows[most : most + MOST_PROBES] for rows in people])
    of_probe = np.concatenate([np.full(len(rows[most : most + MOST_PROBES]), n) for n, rows in enumerate(people)])
    counts = {way: np.zeros((most, 2, len(thresholds) + 1), dtype=np.int64) for way in ("mean", "nearest")}
    for begin in range(0, len(probes), BLOCK):
        part = slice(begin, begin + BLOCK)
        same = np.arange(len(people))[:, None] == of_probe[None, part]
        for way, count, matrix in _matrices(vectors, people, vectors[probes[part]], metric, most):
            level = np.searchsorted(np.array(thresholds), matrix, side="right")
            for kind, chosen in enumerate((same, ~same)):
                counts[way][count, kind] += np.bincount(level[chosen], minlength=len(thresholds) + 1)
    rows_told = [
        {"references": count + 1, **{way: _rates(counts[way][count], thresholds) for way in counts}}
        for count in range(most)
    ]
    return {"people": len(people), "probes": len(probes), "rows": rows_told}


def _matrices(
    vectors: Floats, people: Sequence[Ints], probes: Floats, metric: Metric, most: int
) -> Iterator[tuple[str, int, Floats]]:
    """Give the distances of all references from all probes: by which way, for how many references less one."""
    nearest = np.full((len(people), len(probes)), np.inf)
    for count in range(most):
        means = np.array([mean(vectors[rows[: count + 1]], metric) for rows in people])
        yield "mean", count, distances(means, probes, metric)
        nearest = np.minimum(nearest, distances(vectors[[rows[count] for rows in people]], probes, metric))
        yield "nearest", count, nearest


def _rates(counts: Ints, thresholds: Sequence[float]) -> list[dict[str, float | None]]:
    """Return the rates of a row of genuine counts and one of impostor counts, by the first threshold they are below."""
    genuine, impostor = (row.cumsum() for row in counts)
    return [
        {
            "threshold": threshold,
            "fnmr": shown(1 - genuine[place] / genuine[-1]),
            "fmr": shown(impostor[place] / impostor[-1]) if impostor[-1] else None,
        }
        for place, threshold in enumerate(thresholds)
    ]
