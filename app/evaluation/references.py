"""Error rates with several enrolled images: with their mean as the reference, and with the nearest of them.

References are a person's first images by name. Probes are later images, the same for every number of references, so
that rows are comparable. People with too few images are left out; the result says how many remain.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from app.evaluation.groups import Ints
from app.evaluation.rates import round_rate
from app.evaluation.scores import BLOCK, Floats, Metric, distances, mean

MAX_PROBES: Final = 20
"""Limit for each person, so that people with many images do not dominate."""


def rows_of(person: Ints) -> list[Ints]:
    """Return the rows of each person who has any, in order."""
    return [np.flatnonzero(person == one) for one in np.unique(person)]


def references(
    vectors: Floats, person: Ints, metric: Metric, thresholds: Sequence[float], *, most: int
) -> dict[str, Any] | None:
    """Return the rates at each of *thresholds* for 1 to *most* references, or None if no person has two images."""
    everyone = rows_of(person)
    most = min(most, max(map(len, everyone)) - 1)
    people = [rows for rows in everyone if len(rows) > most]
    if most < 1:
        return None
    probes = np.concatenate([rows[most : most + MAX_PROBES] for rows in people])
    of_probe = np.concatenate([np.full(len(rows[most : most + MAX_PROBES]), n) for n, rows in enumerate(people)])
    counts = {way: np.zeros((most, 2, len(thresholds) + 1), dtype=np.int64) for way in ("mean", "nearest")}
    for begin in range(0, len(probes), BLOCK):
        part = slice(begin, begin + BLOCK)
        same = np.arange(len(people))[:, None] == of_probe[None, part]
        for way, count, matrix in _matrices(vectors, people, vectors[probes[part]], metric, most):
            level = np.searchsorted(np.array(thresholds), matrix, side="right")
            for kind, chosen in enumerate((same, ~same)):
                counts[way][count, kind] += np.bincount(level[chosen], minlength=len(thresholds) + 1)
    rows = [
        {"references": count + 1, **{way: _rates(counts[way][count], thresholds) for way in counts}}
        for count in range(most)
    ]
    return {"people": len(people), "probes": len(probes), "rows": rows}


def _matrices(
    vectors: Floats, people: Sequence[Ints], probes: Floats, metric: Metric, most: int
) -> Iterator[tuple[str, int, Floats]]:
    """Yield the way (mean or nearest), the number of references less one, and all distances to the probes."""
    nearest = np.full((len(people), len(probes)), np.inf)
    for count in range(most):
        means = np.array([mean(vectors[rows[: count + 1]], metric) for rows in people])
        yield "mean", count, distances(means, probes, metric)
        nearest = np.minimum(nearest, distances(vectors[[rows[count] for rows in people]], probes, metric))
        yield "nearest", count, nearest


def _rates(counts: Ints, thresholds: Sequence[float]) -> list[dict[str, float | None]]:
    """Return the rates from genuine and impostor counts, indexed by the first threshold above the distance."""
    genuine, impostor = (row.cumsum() for row in counts)
    return [
        {
            "threshold": threshold,
            "fnmr": round_rate(1 - genuine[place] / genuine[-1]),
            "fmr": round_rate(impostor[place] / impostor[-1]) if impostor[-1] else None,
        }
        for place, threshold in enumerate(thresholds)
    ]
