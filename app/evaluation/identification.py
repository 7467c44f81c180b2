"""Identification rates (1:N) for galleries of many sizes made from the people of the trial.

No gallery is drawn at random: each rate is the exact mean over *all* galleries of that size. For one probe, let f of M
other people's references be below the threshold. Then C(M - f, N) of the C(M, N) galleries contain none of the f. Each
person's reference is their first image by name.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from app.evaluation.groups import Ints
from app.evaluation.rates import round_rate
from app.evaluation.references import rows_of
from app.evaluation.scores import BLOCK, Floats, Metric, distances


@dataclass(frozen=True, slots=True)
class _Counts:
    """Counts of near references for every probe."""

    nearer: Ints
    """Number of other people's references that are no farther than the person's own."""
    own: Floats
    """Distance of the person's own reference."""
    mated: Ints
    """Indices of the probes whose person's reference is another image."""
    strangers: Ints
    """For each threshold and probe, the number of other people's references below it."""


def sizes(people: int) -> list[int]:
    """Return the gallery sizes: 10, 30, 100 … and all people but one, who is the stranger."""
    largest = people - 1
    steps = (10 ** (1 + n // 2) * (3 if n % 2 else 1) for n in count())
    found = []
    for size in steps:
        if size >= largest:
            break
        found.append(size)
    return [*found, largest]


def identification(
    vectors: Floats, person: Ints, metric: Metric, thresholds: Sequence[float], fmr: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the rate of correct identifications and of found strangers, by gallery size and threshold.

    Args:
        fmr: the false match rate of one comparison at each threshold; N times it approximates the FPIR.
    """
    people = rows_of(person)
    counts = _count(vectors, people, metric, thresholds)
    others = len(people) - 1
    return [
        {
            "gallery": size,
            "mated_probes": len(counts.mated),
            "stranger_probes": int(counts.strangers.shape[1]),
            "at": [
                {
                    "threshold": threshold,
                    "dir_rank_1": _identified(counts, threshold, others, size),
                    "fpir": round_rate(float((1 - _none_of(counts.strangers[place], others, size)).mean())),
                    "n_times_fmr": round_rate(size * fmr[place]),
                }
                for place, threshold in enumerate(thresholds)
            ],
        }
        for size in sizes(len(people))
    ]


def _count(vectors: Floats, people: Sequence[Ints], metric: Metric, thresholds: Sequence[float]) -> _Counts:
    references = vectors[[rows[0] for rows in people]]
    rows = np.concatenate(people)
    owner = np.concatenate([np.full(len(one), place) for place, one in enumerate(people)])
    nearer = np.zeros(len(rows), dtype=np.int64)
    own = np.zeros(len(rows))
    strangers = np.zeros((len(thresholds), len(rows)), dtype=np.int64)
    for begin in range(0, len(rows), BLOCK):
        part = slice(begin, begin + BLOCK)
        matrix = distances(vectors[rows[part]], references, metric)
        mine = (np.arange(len(matrix)), owner[part])
        own[part] = matrix[mine]
        matrix[mine] = np.inf
        nearer[part] = (matrix <= own[part, None]).sum(axis=1)
        for place, threshold in enumerate(thresholds):
            strangers[place, part] = (matrix < threshold).sum(axis=1)
    mated = np.flatnonzero(rows != np.array([one[0] for one in people])[owner])
    return _Counts(nearer, own, mated, strangers)


def _identified(counts: _Counts, threshold: float, others: int, size: int) -> float:
    """Return the share of probes whose own reference is below *threshold* and nearer than all others."""
    chance = _none_of(counts.nearer[counts.mated], others, size - 1)
    return round_rate(float((chance * (counts.own[counts.mated] < threshold)).mean()))


def _none_of(marked: Ints, others: int, drawn: int) -> Floats:
    """Return the probability that none of *marked* is among *drawn* of *others*, drawn without replacement."""
    clear: Floats = np.ones(int(marked.max(initial=0)) + 1)
    for one in range(len(clear) - 1):
        # C(M-f-1, N) / C(M-f, N) = (M-f-N) / (M-f)
        clear[one + 1] = clear[one] * max(others - one - drawn, 0) / (others - one)
    return clear[marked]
