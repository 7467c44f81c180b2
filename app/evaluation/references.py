"""Error rates with several enrolled images: with their mean as the reference, and with the nearest of them.

References are a person's first images by name. Probes are later images, the same for every number of references, so
that rows are comparable. People with too few images are left out; the result says how many remain.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np

from app.evaluation.groups import Ints
from app.evaluation.rates import round_rate
from app.evaluation.resampling import Bounds, Draws, mean_bounds, round_bounds
from app.evaluation.scores import BLOCK, Floats, Metric, distances, mean

MAX_PROBES: Final = 20
"""Limit for each person, so that people with many images do not dominate."""
_WAYS: Final = ("mean", "nearest")


def rows_of(person: Ints) -> list[Ints]:
    """Return the rows of each person who has any, in order."""
    return [np.flatnonzero(person == one) for one in np.unique(person)]


def references(
    vectors: Floats, person: Ints, metric: Metric, thresholds: Sequence[float], draws: Draws, *, most: int
) -> dict[str, Any] | None:
    """Return the rates at each of *thresholds* for 1 to *most* references, or None if no person has two images."""
    everyone = rows_of(person)
    most = min(most, max(map(len, everyone)) - 1)
    people = [rows for rows in everyone if len(rows) > most]
    if most < 1:
        return None
    genuine, impostor = _count(vectors, people, metric, thresholds, most)
    missed = genuine[..., ::-1].cumsum(axis=-1)[..., -2::-1]
    of_person = missed / genuine.sum(axis=-1, keepdims=True)
    bounds = iter(mean_bounds(of_person.reshape(len(people), -1), draws))
    rows: list[dict[str, Any]] = [{"references": count + 1} for count in range(most)]
    probes = int(genuine[:, 0, 0].sum())
    for way, name in enumerate(_WAYS):
        for count, row in enumerate(rows):
            matched = impostor[way, count].cumsum()
            row[name] = [
                {
                    "threshold": threshold,
                    "fnmr": round_rate(missed[:, way, count, place].sum() / probes),
                    "fmr": round_rate(matched[place] / matched[-1]) if matched[-1] else None,
                    "over_people": over_people(of_person[:, way, count, place], next(bounds)),
                }
                for place, threshold in enumerate(thresholds)
            ]
    return {"people": len(people), "probes": probes, "rows": rows}


def over_people(of_person: Floats, bounds: Bounds) -> dict[str, Any]:
    """Return a false non-match rate in which each person counts once."""
    return {"fnmr": round_rate(of_person.mean()), "ci95_by_person": {"fnmr": round_bounds(bounds)}}


def _count(
    vectors: Floats, people: Sequence[Ints], metric: Metric, thresholds: Sequence[float], most: int
) -> tuple[Ints, Ints]:
    """Count comparisons by the first threshold above the distance.

    Returns:
        Genuine ones by person, way, number of references and level; impostor ones without the person.
    """
    probes = np.concatenate([rows[most : most + MAX_PROBES] for rows in people])
    owner = np.concatenate([np.full(len(rows[most : most + MAX_PROBES]), n) for n, rows in enumerate(people)])
    levels = len(thresholds) + 1
    genuine = np.zeros((len(people), len(_WAYS), most, levels), dtype=np.int64)
    impostor = np.zeros((len(_WAYS), most, levels), dtype=np.int64)
    for begin in range(0, len(probes), BLOCK):
        part = slice(begin, begin + BLOCK)
        own = (owner[part], np.arange(len(probes[part])))
        for way, count, matrix in _matrices(vectors, people, vectors[probes[part]], metric, most):
            level = np.searchsorted(np.array(thresholds), matrix, side="right")
            np.add.at(genuine[:, way, count], (owner[part], level[own]), 1)
            impostor[way, count] += np.bincount(level.ravel(), minlength=levels)
            impostor[way, count] -= np.bincount(level[own], minlength=levels)
    return genuine, impostor


def _matrices(
    vectors: Floats, people: Sequence[Ints], probes: Floats, metric: Metric, most: int
) -> Iterator[tuple[int, int, Floats]]:
    """Yield the index of the way, the number of references less one, and all distances to the probes."""
    nearest = np.full((len(people), len(probes)), np.inf)
    for count in range(most):
        means = np.array([mean(vectors[rows[: count + 1]], metric) for rows in people])
        yield 0, count, distances(means, probes, metric)
        nearest = np.minimum(nearest, distances(vectors[[rows[count] for rows in people]], probes, metric))
        yield 1, count, nearest
