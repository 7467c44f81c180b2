"""Identification rates (1:N) at the reported thresholds, for galleries of many sizes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from app.evaluation.rates import round_rate
from app.evaluation.resampling import Draws
from app.evaluation.search import Searches, over_people, sizes


def identification(
    searches: Searches, thresholds: Sequence[float], fmr: Sequence[float], draws: Draws
) -> list[dict[str, Any]]:
    """Return the rate of correct identifications and of found strangers, by gallery size and threshold.

    Args:
        searches: of everyone, with one image as the reference.
        thresholds: some of the levels.
        fmr: the false match rate of one comparison at each threshold; N times it approximates the FPIR.
        draws: of the people, for the intervals.
    """
    points = [(size, threshold) for size in sizes(searches.people) for threshold in thresholds]
    people = iter(over_people(searches, points, draws))
    return [
        {
            "gallery": size,
            "mated_probes": int(searches.mated.sum()),
            "stranger_probes": len(searches.mated),
            "at": [
                {
                    "threshold": threshold,
                    "dir_rank_1": round_rate(float(np.nanmean(searches.identified(size, threshold)))),
                    "fpir": round_rate(float(searches.matched(size, threshold).mean())),
                    "n_times_fmr": round_rate(size * fmr[place]),
                    "over_people": next(people),
                }
                for place, threshold in enumerate(thresholds)
            ],
        }
        for size in sizes(searches.people)
    ]
