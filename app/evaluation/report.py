"""The report as one document: what was stated, what was tried, and every number. No image, no name, no vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from app import __version__
from app.evaluation.groups import FEW_PEOPLE, NOBODY
from app.evaluation.measure_images import Acquired
from app.evaluation.rates import RULE_OF_THREE, Point, Rates, shown
from app.evaluation.resampling import Bounds, Intervals
from app.evaluation.trial import Asked, Trial
from app.faces.cards.card import Card

PROTOCOL = "every genuine and every impostor pair of distinct images; one reference image, one probe image"
PROTOCOL_LISTED = "the listed pairs of images only; one reference image, one probe image"
AGREED = {
    "yes": "The people in it agreed to this use, it was stated.",
    "no": "The people in it did not agree to this use, it was stated.",
    "unknown": "Whether the people in it agreed to this use is not known.",
}


@dataclass(slots=True)
class Counted:
    """All numbers of a trial."""

    rates: Rates
    table: list[dict[str, Any]]
    points: list[Point]
    intervals: list[Intervals]
    step: float
    references: dict[str, Any] | None = None
    identification: list[dict[str, Any]] | None = None


def written(
    asked: Asked, trial: Trial, acquired: Acquired, card: Card, counted: Counted, *, now: datetime
) -> dict[str, Any]:
    """Return the report, in plain JSON values."""
    told = {
        "statement": {"origin": asked.stated.origin, "people_agreed": asked.stated.agreed},
        "date": now.date().isoformat(),
        "mien": __version__,
        "engine": _engine(card),
        "weights_sha256": card.weights_sha256,
        "acquisition": _acquisition(trial, acquired),
        "calibration": _calibration(asked, trial, acquired, counted, now),
        "at": _at(counted),
        "groups": _groups(trial, acquired, counted),
        "references": counted.references,
        "identification": counted.identification,
        "det": counted.rates.curve(),
        "histograms": counted.rates.histograms(),
        "settings": _settings(asked, trial, counted),
        "speed": _speed(asked, acquired),
    }
    return {**told, "warnings": warnings(told)}


def _engine(card: Card) -> dict[str, Any]:
    return {
        "id": card.id,
        "engine": card.document.get("engine", card.id),
        "metric": card.metric,
        "dimensions": card.dimensions,
        "pipeline": card.pipeline,
        "licence": card.licence,
        "training_data": card.training_data,
        "depicted_people_agreed": card.depicted_people_agreed,
    }


def _acquisition(trial: Trial, acquired: Acquired) -> dict[str, Any]:
    counts = np.bincount(acquired.person, minlength=len(trial.folder.people))
    return {
        "people": len(trial.folder.people),
        "people_with_a_face": int((counts > 0).sum()),
        "people_with_two": int((counts > 1).sum()),
        "images": acquired.images,
        "measured": len(acquired.vectors),
        "failure_to_acquire": _failures(acquired.not_acquired, acquired.images),
        "failure_to_enrol": _failures(acquired.not_enrolled, acquired.images),
        "left_out": {
            **{reason: count for reason, count in sorted(trial.folder.left_out.items()) if count},
            **({"files that cannot be read": acquired.unreadable} if acquired.unreadable else {}),
            **({"the same bytes again in one folder": acquired.repeated} if acquired.repeated else {}),
        },
        "shared_images": len(acquired.shared),
    }


def _failures(reasons: Mapping[str, int], images: int) -> dict[str, Any]:
    failed = sum(reasons.values())
    return {"images": failed, "rate": shown(failed / images), "by_reason": dict(sorted(reasons.items()))}


def _calibration(asked: Asked, trial: Trial, acquired: Acquired, counted: Counted, now: datetime) -> dict[str, Any]:
    """Return what may stand on an engine's card, in its form."""
    failed = _failures(acquired.not_acquired, acquired.images)
    note = f"{asked.stated.origin}. {AGREED[asked.stated.agreed]}"
    if acquired.not_enrolled:
        note += f" Without {acquired.not_enrolled.total()} images that were refused for their quality."
    return {
        "trial": {
            "name": asked.name,
            "images": acquired.images,
            "people": len(trial.folder.people),
            "date": now.date().isoformat(),
            "protocol": PROTOCOL if trial.listed is None else PROTOCOL_LISTED,
            "note": note,
        },
        "failure_to_acquire": {"images": failed["images"], "rate": failed["rate"]},
        "genuine_pairs": counted.rates.genuine_pairs,
        "impostor_pairs": counted.rates.impostor_pairs,
        "pairs_floor": shown(counted.rates.floor),
        "ci95_by_person": [
            {"threshold": one.threshold, "fmr": _both(one.fmr), "fnmr": _both(one.fnmr)}
            for one in reversed(counted.intervals)
            if one.fmr and one.fnmr
        ],
        "table": counted.table,
    }


def _at(counted: Counted) -> list[dict[str, Any]]:
    """Return the row of the table, with its intervals, at each threshold that is spoken of; the loosest first."""
    row = {one["threshold"]: one for one in counted.table}
    bounds = {one.threshold: one for one in counted.intervals}
    return [
        {
            "target_fmr": point.target,
            **row[point.threshold],
            "ci95_by_person": _bounds(counted.rates, row[point.threshold], bounds[point.threshold]),
        }
        for point in counted.points
    ]


def _bounds(rates: Rates, row: Mapping[str, Any], found: Intervals) -> dict[str, Any]:
    by_pair = _each(found.fmr_by_group, row["fmr_by_group"], rates.pairs_by_group())
    by_group = _each(found.fnmr_by_group, row["fnmr_by_group"], rates.genuine_by_group())
    return {"fmr": _both(found.fmr), "fnmr": _both(found.fnmr), "fmr_by_group": by_pair, "fnmr_by_group": by_group}


def _groups(trial: Trial, acquired: Acquired, counted: Counted) -> dict[str, Any] | None:
    """Return how large each group is, and which are too small to say much of; nothing where nobody has one."""
    if not trial.groups.labels:
        return None
    present = np.unique(acquired.person)
    of_person = trial.groups.of_person[present]
    genuine = counted.rates.genuine_by_group()
    people = {label: int((of_person == place).sum()) for place, label in enumerate(trial.groups.labels)}
    return {
        "people": people,
        "people_without_one": int((of_person == NOBODY).sum()),
        "genuine_pairs": {label: genuine.get(label, 0) for label in people},
        "impostor_pairs": counted.rates.pairs_by_group(),
        "too_small": [label for label, count in people.items() if count < FEW_PEOPLE],
    }


def _settings(asked: Asked, trial: Trial, counted: Counted) -> dict[str, Any]:
    by_image = trial.listed is not None and trial.listed.by_image
    return {
        "comparisons": "every pair" if trial.listed is None else "listed",
        "resampled": "images" if by_image else "people",
        "resamples": asked.resamples,
        "seed": asked.seed,
        "threshold_step": counted.step,
        "most_references": asked.most_references,
        "most_images": asked.most_images,
        "most_bytes": asked.most_bytes,
    }


def _speed(asked: Asked, acquired: Acquired) -> dict[str, Any]:
    a_second = acquired.measured / acquired.seconds
    return {
        "measured": acquired.measured,
        "from_cache": acquired.known,
        "seconds": shown(acquired.seconds),
        "workers": asked.workers,
        "images_a_second": shown(a_second),
        "images_a_second_a_worker": shown(a_second / asked.workers),
    }


def warnings(told: Mapping[str, Any]) -> list[str]:
    """Return what whoever reads the numbers has to know first."""
    people, shared = told["acquisition"]["people_with_a_face"], told["acquisition"]["shared_images"]
    few = told["groups"]["too_small"] if told["groups"] else []
    floor = told["calibration"]["pairs_floor"]
    by_image = told["settings"]["resampled"] == "images"
    found = {
        "The people in these images did not agree to this use, it was stated.": told["statement"]["people_agreed"]
        == "no",
        "Whether the people in these images agreed to this use is not known.": told["statement"]["people_agreed"]
        == "unknown",
        f"Few people: {people}, fewer than {FEW_PEOPLE}. One person more or less changes every rate.": not by_image
        and people < FEW_PEOPLE,
        f"{shared} images have the same bytes as an image of somebody else: a wrong label, or a leak. They count as "
        "different people here.": shared > 0 and not by_image,
        "The folders are not people, so the intervals resample images; they are too narrow.": by_image,
        "No groups: nobody can see here whether the engine treats them alike. Add groups.csv.": told["groups"] is None,
        f"Too small to say much of (fewer than {FEW_PEOPLE} people): {', '.join(few)}.": bool(few),
        f"No false match rate below {floor:.2g} is stated: so many pairs cannot speak of it.": True,
    }
    return [text for text, so in found.items() if so]


def _both(bounds: Bounds) -> list[float] | None:
    return None if bounds is None else [shown(bound) for bound in bounds]


def _each(
    bounds: Mapping[str, Bounds], rates: Mapping[str, float], pairs: Mapping[str, int]
) -> dict[str, list[float] | None]:
    """Return the intervals of the groups in which at least three errors were seen: of fewer, draws say too little."""
    told = {key: one for key, one in bounds.items() if key in rates and round(rates[key] * pairs[key]) >= RULE_OF_THREE}
    return {key: _both(one) for key, one in told.items()}
