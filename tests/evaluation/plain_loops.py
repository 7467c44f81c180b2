"""Compute every number of a report with plain loops over pairs, without code of `app.evaluation`."""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, combinations
from typing import Any

Vector = tuple[float, ...]
Pair = tuple[str, str, bool, float]
"""The two people, whether they are one, and the distance."""


@dataclass
class Images:
    """The vectors of a trial with their people, in the order of the file names of each person."""

    vectors: list[Vector]
    people: list[str]
    groups: Mapping[str, str]
    metric: str = "l2"
    comparisons: list[tuple[int, int, bool]] | None = None
    """If given, these replace every pair."""

    def distance(self, one: Vector, other: Vector) -> float:
        if self.metric == "l2":
            return math.sqrt(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)))
        lengths = math.sqrt(sum(a * a for a in one)) * math.sqrt(sum(b * b for b in other))
        return 1 - sum(a * b for a, b in zip(one, other, strict=True)) / lengths

    def mean(self, vectors: Sequence[Vector]) -> Vector:
        if self.metric == "cosine":
            vectors = [tuple(a / math.sqrt(sum(b * b for b in one)) for a in one) for one in vectors]
        return tuple(sum(column) / len(vectors) for column in zip(*vectors, strict=True))

    @cached_property
    def pairs(self) -> list[Pair]:
        every = self.comparisons
        if every is None:
            places = range(len(self.vectors))
            every = [(a, b, self.people[a] == self.people[b]) for a in places for b in places if a < b]
        return [
            (self.people[a], self.people[b], same, self.distance(self.vectors[a], self.vectors[b]))
            for a, b, same in every
        ]

    def by_person(self) -> dict[str, list[Vector]]:
        found: dict[str, list[Vector]] = {}
        for person, vector in zip(self.people, self.vectors, strict=True):
            found.setdefault(person, []).append(vector)
        return found

    def key(self, one: str, other: str) -> str | None:
        if one not in self.groups or other not in self.groups:
            return None
        labels = sorted((self.groups[one], self.groups[other]))
        return ("" if all(len(label) == 1 for label in self.groups.values()) else "/").join(labels)


def stored(vector: Vector) -> Vector:
    """Round as a template does (docs/reference/test-vectors.md)."""
    (scale,) = struct.unpack("<f", struct.pack("<f", max(abs(one) for one in vector) / 127))
    return tuple(scale * max(-127, min(127, round(one / scale))) for one in vector)


def stored_rates(images: Images, threshold: float) -> dict[str, Any]:
    """Return the rates with the first image of each pair as it is and as a template keeps it."""
    rounded = Images([stored(one) for one in images.vectors], images.people, images.groups, images.metric)
    every = images.comparisons
    if every is None:
        places = range(len(images.vectors))
        every = [(a, b, images.people[a] == images.people[b]) for a in places for b in places if a < b]
    forms = [
        [(same, images.distance(references[one], images.vectors[other]) < threshold) for one, other, same in every]
        for references in (images.vectors, rounded.vectors)
    ]
    rates = [
        {
            "fmr": share(sum(match for same, match in form if not same), sum(not same for same, _ in form)),
            "fnmr": share(sum(not match for same, match in form if same), sum(same for same, _ in form)),
        }
        for form in forms
    ]
    changed = sum(one != other for one, other in zip(*forms, strict=True))
    return {"threshold": threshold, "float64": rates[0], "int8": rates[1], "changed_decisions": changed}


def share(part: int, whole: int) -> float:
    return part / whole


def table(images: Images, step: float = 0.005) -> list[dict[str, Any]]:
    """Return the rows from three false matches to the first false match rate of a tenth."""
    impostor = [pair for pair in images.pairs if not pair[2]]
    rows: list[dict[str, Any]] = []
    for number in range(100_000):
        threshold = round(number * step, 9)
        false = sum(distance < threshold for _, _, _, distance in impostor)
        if false >= 3:
            rows.append(row(images, threshold))
        if rows and share(false, len(impostor)) >= 0.1:
            return rows
    raise AssertionError


def row(images: Images, threshold: float) -> dict[str, Any]:
    genuine = [pair for pair in images.pairs if pair[2]]
    impostor = [pair for pair in images.pairs if not pair[2]]
    matched = [pair for pair in impostor if pair[3] < threshold]
    missed = [pair for pair in genuine if not pair[3] < threshold]
    keys = {key for one, other, _, _ in impostor if (key := images.key(one, other))}
    labels = {images.groups[one] for one, _, _, _ in genuine if one in images.groups}
    return {
        "threshold": threshold,
        "fmr": share(len(matched), len(impostor)),
        "false_matches": len(matched),
        "fnmr": share(len(missed), len(genuine)),
        "fmr_by_group": {
            key: share(
                sum(images.key(one, other) == key for one, other, _, _ in matched),
                sum(images.key(one, other) == key for one, other, _, _ in impostor),
            )
            for key in keys
        },
        "fnmr_by_group": {
            label: share(
                sum(images.groups.get(one) == label for one, _, _, _ in missed),
                sum(images.groups.get(one) == label for one, _, _, _ in genuine),
            )
            for label in labels
        },
        "over_people": over_people(images, genuine, impostor, threshold),
    }


def over_people(images: Images, genuine: Sequence[Pair], impostor: Sequence[Pair], threshold: float) -> dict[str, Any]:
    """Return the rates in which each person, or each two people, count once."""
    missed: dict[str, list[bool]] = {}
    for person, _, _, distance in genuine:
        missed.setdefault(person, []).append(distance >= threshold)
    matched: dict[tuple[str, ...], list[bool]] = {}
    for one, other, _, distance in impostor:
        matched.setdefault(tuple(sorted((one, other))), []).append(distance < threshold)
    of_person = {person: sum(found) / len(found) for person, found in missed.items()}
    of_two = {two: sum(found) / len(found) for two, found in matched.items()}
    by_group: dict[str, list[float]] = {}
    for person, rate in of_person.items():
        if person in images.groups:
            by_group.setdefault(images.groups[person], []).append(rate)
    by_pair: dict[str, list[float]] = {}
    for two, rate in of_two.items():
        key = images.key(*two)
        if key is not None:
            by_pair.setdefault(key, []).append(rate)
    return {
        "fmr": average(list(of_two.values())),
        "fnmr": average(list(of_person.values())),
        "fmr_by_group": {key: average(rates) for key, rates in by_pair.items()},
        "fnmr_by_group": {label: average(rates) for label, rates in by_group.items()},
    }


def average(rates: Sequence[float]) -> float:
    return sum(rates) / len(rates)


def curve(images: Images, step: float = 0.0005) -> list[tuple[float, float, float]]:
    """Return threshold, FMR and FNMR from three false matches to the first threshold above all impostors."""
    pairs = images.pairs
    genuine = [distance for _, _, same, distance in pairs if same]
    impostor = [distance for _, _, same, distance in pairs if not same]
    points = []
    for number in range(100_000):
        threshold = round(number * step, 9)
        false = sum(distance < threshold for distance in impostor)
        if false >= 3:
            misses = sum(distance >= threshold for distance in genuine)
            points.append((threshold, false / len(impostor), misses / len(genuine)))
        if false == len(impostor):
            return points
    raise AssertionError


def histogram(images: Images, *, same: bool, width: float = 0.01) -> list[int]:
    counts = [0] * 1000
    for _, _, genuine, distance in images.pairs:
        if genuine is same:
            place = next(n for n in range(1000) if distance < round((n + 1) * width, 9))
            counts[place] += 1
    while counts and not counts[-1]:
        counts.pop()
    return counts


def references(images: Images, thresholds: Sequence[float], *, most: int) -> dict[str, Any]:
    people_vectors = images.by_person()
    most = min(most, max(map(len, people_vectors.values())) - 1)
    people = {person: vectors for person, vectors in people_vectors.items() if len(vectors) > most}
    probes = [(person, probe) for person, vectors in people.items() for probe in vectors[most : most + 20]]
    rows = []
    for count in range(1, most + 1):
        found: dict[str, Any] = {"references": count}
        for way in ("mean", "nearest"):
            scores = []
            for owner, vectors in people.items():
                for person, probe in probes:
                    if way == "mean":
                        score = images.distance(images.mean(vectors[:count]), probe)
                    else:
                        score = min(images.distance(one, probe) for one in vectors[:count])
                    scores.append((owner, person, score))
            genuine = [score for owner, person, score in scores if owner == person]
            impostor = [score for owner, person, score in scores if owner != person]
            mine = {one: [score for owner, person, score in scores if owner == person == one] for one in people}
            found[way] = [
                {
                    "threshold": threshold,
                    "fnmr": sum(score >= threshold for score in genuine) / len(genuine),
                    "fmr": sum(score < threshold for score in impostor) / len(impostor) if impostor else None,
                    "over_people": {
                        "fnmr": average([sum(d >= threshold for d in own) / len(own) for own in mine.values()])
                    },
                }
                for threshold in thresholds
            ]
        rows.append(found)
    return {"people": len(people), "probes": len(probes), "rows": rows}


@dataclass(frozen=True)
class Identified:
    """Rates of searches in every possible gallery of one size: by probe, and in which each person counts once."""

    dir_rank_1: float | None
    fpir: float
    dir_over_people: float | None
    fpir_over_people: float
    probes_with_a_match: int
    """Probes with another person's reference below the threshold."""


def identification(images: Images, threshold: float, size: int, *, references: int = 1) -> Identified:
    people_vectors = images.by_person()
    mated: dict[str, list[bool]] = {}
    strangers: dict[str, list[bool]] = {}
    enrolled = {person: images.mean(vectors[:references]) for person, vectors in people_vectors.items()}
    distances = {
        (person, place): sorted((images.distance(one, probe), name) for name, one in enrolled.items())
        for person, vectors in people_vectors.items()
        for place, probe in enumerate(vectors)
    }
    for gallery in combinations(people_vectors, size):
        for (person, place), scores in distances.items():
            distance, nearest = next(score for score in scores if score[1] in gallery)
            if person not in gallery:
                strangers.setdefault(person, []).append(distance < threshold)
            elif place >= references:
                mated.setdefault(person, []).append(nearest == person and distance < threshold)
    every, false = list(chain(*mated.values())), list(chain(*strangers.values()))
    return Identified(
        average(every) if every else None,
        average(false),
        average([average(found) for found in mated.values()]) if mated else None,
        average([average(found) for found in strangers.values()]),
        sum(any(name != probe[0] and d < threshold for d, name in scores) for probe, scores in distances.items()),
    )


def part(images: Images, label: str | None) -> Images:
    """Return the images of the people in one group, or all of them."""
    if label is None:
        return images
    chosen = [place for place, person in enumerate(images.people) if images.groups.get(person) == label]
    return Images([images.vectors[n] for n in chosen], [images.people[n] for n in chosen], images.groups, images.metric)
