"""Refused images by reason and group, for both uses of a photo; groups that differ beyond chance.

Two intervals of 95 %. Wilson's takes every image for an observation of its own (Wilson 1927, without correction for
continuity). If people have several images, it is too narrow, and a second one draws the people with replacement.

Two groups are compared by a permutation test. The people of both are shared out again at random into groups of the same
sizes. The p-value is the share of the draws in which the two rates are at least as far apart. Images of one person stay
together. Holm's method raises the p-values for the number of comparisons.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from math import sqrt
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.evaluation.groups import Groups, Ints
from app.evaluation.measure_images import POOR_QUALITY, TriedImages
from app.evaluation.number_format import bounds, plain, whole
from app.evaluation.rates import RULE_OF_THREE, round_rate
from app.evaluation.scores import Floats
from app.faces.permit import PhotoUse
from app.faces.quality import MAX_YAW

ANY: Final = "any reason"
"""All refusals together."""
LEVEL: Final = 0.05
"""Groups differ beyond chance if the p-value, raised by Holm's method, is below it."""
DRAWS: Final = 20_000
_NORMAL: Final = 1.959964
"""The 97.5th percentile of the normal distribution."""
_ALMOST: Final = 1e-12
"""Differences that are nearer to each other are equal, but for rounding."""

Bools = npt.NDArray[np.bool_]


def count_refusals(tried: TriedImages, groups: Groups, *, resamples: int, seed: int) -> dict[str, Any]:
    """Return the refusals for each use, of all images and of each group, and the groups that differ."""
    table = _Table(tried, groups)
    random = np.random.default_rng(seed)
    everyone = np.ones(len(table.images), dtype=np.bool_)
    sets = {label: table.group == place for place, label in enumerate(groups.labels)}
    compared = list(table.compare(sets, random))
    raised = holm([one["p"] for one in compared])
    return {
        "uses": {
            use.value: {
                "max_yaw": MAX_YAW[use],
                "bystanders": "ignored" if use is PhotoUse.PROBE else "refused",
                "all": table.count(use, everyone, resamples, random),
                "groups": {label: table.count(use, kept, resamples, random) for label, kept in sets.items()},
            }
            for use in PhotoUse
        },
        "level": LEVEL,
        "draws": DRAWS,
        "comparisons": len(compared),
        "differ": [{**one, "p_holm": round_rate(p)} for one, p in zip(compared, raised, strict=True) if p < LEVEL],
    }


def wilson(part: int, whole: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of the rate *part* / *whole*."""
    rate, square = part / whole, _NORMAL**2 / whole
    middle = (rate + square / 2) / (1 + square)
    half = _NORMAL / (1 + square) * sqrt(rate * (1 - rate) / whole + square / (4 * whole))
    return (middle - half if part else 0.0), (middle + half if part < whole else 1.0)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return *p_values* raised for their number, in the same order (Holm 1979)."""
    raised, most = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        most = max(most, (len(p_values) - rank) * p_values[place])
        raised[place] = min(1.0, most)
    return raised


def resample(refused: Ints, images: Ints, resamples: int, random: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % percentile interval of the rate, for people drawn with replacement.

    Args:
        refused: refused images of each person.
        images: all images of each person, at least one.
        resamples: number of draws.
        random: draws the people.
    """
    # People with equal counts are drawn together.
    kinds, people = np.unique(np.stack((refused, images)), axis=1, return_counts=True)
    drawn = random.multinomial(people.sum(), people / people.sum(), size=resamples)
    low, high = np.percentile((drawn @ kinds[0]) / (drawn @ kinds[1]), (2.5, 97.5))
    return float(low), float(high)


def permutation_p(
    refused: Ints, images: Ints, first: Bools, random: np.random.Generator, *, draws: int = DRAWS
) -> float:
    """Return the p-value of the difference between two groups of people.

    Args:
        refused: refused images of each person of both groups.
        images: all images of each person, at least one.
        first: whether a person belongs to the first group.
        random: draws the groups.
        draws: number of draws.
    """
    kinds, kind = np.unique(np.stack((refused, images)), axis=1, return_inverse=True)
    kind = kind.reshape(-1)
    people, ours = (np.bincount(kind[kept], minlength=kinds.shape[1]) for kept in (np.ones_like(first), first))
    drawn = random.multivariate_hypergeometric(people, int(first.sum()), size=draws)

    def difference(shares: Ints) -> Floats:
        ones, others = shares @ kinds.T, (people - shares) @ kinds.T
        apart: Floats = np.abs(ones[..., 0] / ones[..., 1] - others[..., 0] / others[..., 1])
        return apart

    # The groups as they are count as one draw.
    return float((1 + (difference(drawn) >= difference(ours) - _ALMOST).sum()) / (draws + 1))


class _Table:
    """Images and refused images of each person who has any."""

    def __init__(self, tried: TriedImages, groups: Groups) -> None:
        # Without folders of people, each image stands for a person.
        person = tried.person if (tried.person >= 0).all() else np.arange(len(tried.person))
        present, row = np.unique(person, return_inverse=True)
        self.images: Ints = np.bincount(row)
        self.group = groups.of_person[present] if groups.labels else np.full(len(present), -1)
        self._refused: dict[PhotoUse, dict[str, Ints]] = {
            use: {
                reason: np.bincount(row[[_is(reason, one) for one in reasons]], minlength=len(present))
                for reason in _list_reasons(reasons)
            }
            for use, reasons in tried.refused.items()
        }

    def count(self, use: PhotoUse, kept: Bools, resamples: int, random: np.random.Generator) -> dict[str, Any]:
        """Return the rate of each reason among the people of *kept*, with its intervals."""
        images = self.images[kept]
        several = bool((images > 1).any())
        return {
            "people": len(images),
            "images": int(images.sum()),
            "reasons": {
                reason: {
                    "images": (part := int(refused[kept].sum())),
                    "rate": round_rate(part / images.sum()),
                    "ci95": _rounded(wilson(part, int(images.sum()))),
                    "ci95_by_person": _rounded(resample(refused[kept], images, resamples, random))
                    if several and part >= RULE_OF_THREE
                    else None,
                }
                for reason, refused in self._refused[use].items()
                if len(images)
            },
        }

    def compare(self, sets: Mapping[str, Bools], random: np.random.Generator) -> Iterator[dict[str, Any]]:
        """Yield every comparison of two groups, for each use and each reason that one of them has."""
        for (one, first), (other, second) in combinations(sets.items(), 2):
            kept = first | second
            for use, by_reason in self._refused.items():
                for reason, refused in by_reason.items():
                    if first.any() and second.any() and refused[kept].any():
                        counts = {
                            label: {"refused": int(refused[side].sum()), "images": int(self.images[side].sum())}
                            for label, side in ((one, first), (other, second))
                        }
                        p = permutation_p(refused[kept], self.images[kept], first[kept], random)
                        yield {"use": use.value, "reason": reason, "groups": counts, "p": round_rate(p)}


def _list_reasons(reasons: Sequence[str | None]) -> list[str]:
    """Return all refusals together, then each slug; poor quality first as a whole, then by flaw."""
    found = {reason for reason in reasons if reason is not None}
    return [ANY, *sorted(found | {POOR_QUALITY for reason in found if reason.startswith(POOR_QUALITY)})]


def _is(reason: str, given: str | None) -> bool:
    return given is not None and (reason in (ANY, given) or given.startswith(f"{reason}:"))


def _rounded(bounds: tuple[float, float]) -> list[float]:
    return [round_rate(bound) for bound in bounds]


USE_WORDS: Final = {PhotoUse.PROBE.value: "as a probe", PhotoUse.ENROLMENT.value: "as a photo to enrol"}


def describe_refusals(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the main figures in words: the refusals of each use, and the groups that differ."""
    found = document["refusals"]
    lines = {f"Refused {USE_WORDS[use]}": [describe_share(one["all"], ANY)] for use, one in found["uses"].items()}
    if not found["comparisons"]:
        return lines
    differ = [describe_difference(one) for one in found["differ"]]
    return {**lines, "Groups refused unequally": differ or [f"none in {found['comparisons']} comparisons"]}


def describe_share(part: Mapping[str, Any], reason: str) -> str:
    """Return the refused images among all, with the rate and Wilson's interval."""
    one = part["reasons"][reason]
    return f"{whole(one['images'])} of {whole(part['images'])}: {plain(one['rate'])} ({bounds(one['ci95'])})"


def describe_difference(one: Mapping[str, Any]) -> str:
    """Return two groups that differ, with their counts and the raised p-value."""
    counts = [f"{label} {part['refused']} of {part['images']}" for label, part in one["groups"].items()]
    return f"{one['reason']}, {USE_WORDS[one['use']]}: {', '.join(counts)} (p = {one['p_holm']:.2g})"
