"""The report as one JSON document: statement, trial and every number. It holds no image, name or vector."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from app.evaluation.groups import FEW_PEOPLE, NO_GROUP
from app.evaluation.measure_images import MeasuredImages
from app.evaluation.number_format import rate
from app.evaluation.rates import RULE_OF_THREE, Point, Rates, round_rate
from app.evaluation.refusals import count_refusals
from app.evaluation.resampling import Intervals, round_bounds
from app.evaluation.stored_numbers import find_costly_threshold
from app.evaluation.trial import EvaluationRequest, Trial
from app.faces.cards.card import Card
from app.faces.cards.supports import FPIR
from app.kit.version import __version__

PROTOCOL = "every genuine and every impostor pair of distinct images; one reference image, one probe image"
PROTOCOL_LISTED = "the listed pairs of images only; one reference image, one probe image"
CARD_FIELDS = ("metric", "dimensions", "pipeline", "licence", "training_data", "depicted_people_agreed")
LARGEST_SHARE = 0.1
"""More of the genuine pairs than this make a rate over pairs a rate of one person."""
AGREED = {
    "yes": "The operator states that the people in it agreed to this use.",
    "no": "The operator states that the people in it did not agree to this use.",
    "unknown": "The operator does not know if the people in it agreed to this use.",
}


@dataclass(slots=True)
class Results:
    """All results of a trial."""

    rates: Rates
    table: list[dict[str, Any]]
    rows: Mapping[float, Mapping[str, Any]]
    """The row of each reported threshold; that in force may lie outside the table."""
    points: list[Point]
    intervals: list[Intervals]
    step: float
    stored_numbers: dict[str, Any]
    largest_person_share: float | None
    """Share of the genuine pairs that are of one person; None if the folders are not people."""
    lookalike_pairs: int
    """Impostor pairs nearer than half of the genuine pairs."""
    references: dict[str, Any] | None = None
    identification: list[dict[str, Any]] | None = None
    galleries: list[dict[str, Any]] | None = None


def build_report(
    request: EvaluationRequest, trial: Trial, acquired: MeasuredImages, card: Card, results: Results, *, now: datetime
) -> dict[str, Any]:
    """Return the report, in plain JSON values."""
    document = {
        "statement": {"origin": request.stated.origin, "people_agreed": request.stated.agreed},
        "date": now.date().isoformat(),
        "mien": __version__,
        "engine": _engine(card),
        "weights_sha256": card.weights_sha256,
        "acquisition": _acquisition(trial, acquired, results),
        "refusals": count_refusals(acquired.tried, trial.groups, resamples=request.resamples, seed=request.seed),
        "calibration": _calibration(request, trial, acquired, results, now),
        "at": _at(results),
        "groups": _groups(trial, acquired, results),
        "references": results.references,
        "identification": results.identification,
        "stored_numbers": results.stored_numbers,
        "galleries": results.galleries,
        "det": results.rates.curve(),
        "histograms": results.rates.histograms(),
        "settings": _settings(request, trial, results),
        "speed": _speed(request, acquired),
    }
    return {**document, "warnings": warnings(document)}


def _engine(card: Card) -> dict[str, Any]:
    return {
        "id": card.id,
        "engine": card.document.get("engine", card.id),
        **{name: getattr(card, name) for name in CARD_FIELDS},
    }


def _acquisition(trial: Trial, acquired: MeasuredImages, results: Results) -> dict[str, Any]:
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
        "lookalike_pairs": results.lookalike_pairs,
    }


def _failures(reasons: Mapping[str, int], images: int) -> dict[str, Any]:
    failed = sum(reasons.values())
    return {"images": failed, "rate": round_rate(failed / images), "by_reason": dict(sorted(reasons.items()))}


def _calibration(
    request: EvaluationRequest, trial: Trial, acquired: MeasuredImages, results: Results, now: datetime
) -> dict[str, Any]:
    """Return the calibration in the form of an engine card."""
    failed = _failures(acquired.not_acquired, acquired.images)
    on_card = {row["threshold"] for row in results.table}
    note = f"{request.stated.origin}. {AGREED[request.stated.agreed]}"
    if acquired.not_enrolled:
        note += f" Without {acquired.not_enrolled.total()} images that were refused for their quality."
    return {
        "trial": {
            "name": request.name,
            "images": acquired.images,
            "people": len(trial.folder.people),
            "date": now.date().isoformat(),
            "protocol": PROTOCOL if trial.listed is None else PROTOCOL_LISTED,
            "note": note,
        },
        "failure_to_acquire": {"images": failed["images"], "rate": failed["rate"]},
        "genuine_pairs": results.rates.genuine_pairs,
        "impostor_pairs": results.rates.impostor_pairs,
        "pairs_floor": round_rate(results.rates.floor),
        "counted_over": "pairs" if results.largest_person_share is None else "pairs; over_people: people",
        "largest_person_share": results.largest_person_share,
        "ci95_by_person": [
            {"threshold": one.threshold, **_card_bounds(one)}
            for one in reversed(results.intervals)
            if one.fmr and one.fnmr and one.threshold in on_card
        ],
        "supports": _supports(request, results),
        "table": results.table,
    }


def _card_bounds(one: Intervals) -> dict[str, Any]:
    people = {} if one.over_people is None else {"over_people": _card_bounds(one.over_people)}
    return {"fmr": round_bounds(one.fmr), "fnmr": round_bounds(one.fnmr), **people}


def _supports(request: EvaluationRequest, results: Results) -> dict[str, Any] | None:
    """Return the tried galleries in the form of an engine card."""
    if results.galleries is None:
        return None
    tried = [row for row in results.galleries if row["target_fpir"] == FPIR]
    rows = [
        {**{name: row[name] for name in ("group", "references", "gallery")}, "dir": row["dir_rank_1"]} for row in tried
    ]
    return {"source": request.name, "fpir": FPIR, "galleries": rows}


def _at(results: Results) -> list[dict[str, Any]]:
    """Return the row with its intervals at each reported threshold, the loosest first."""
    bounds = {one.threshold: one for one in results.intervals}
    return [
        {
            "target_fmr": point.target,
            "in_force": point.in_force,
            **_with_bounds(results.rates, results.rows[point.threshold], bounds[point.threshold]),
        }
        for point in results.points
    ]


def _with_bounds(rates: Rates, row: Mapping[str, Any], found: Intervals) -> dict[str, Any]:
    """Return a row with its intervals; those of groups only with at least three errors: fewer give no useful one."""
    named = {
        "fmr_by_group": [
            key for key, size in rates.pairs_by_group().items() if _enough(row["fmr_by_group"][key], size)
        ],
        "fnmr_by_group": [
            key for key, size in rates.genuine_by_group().items() if _enough(row["fnmr_by_group"][key], size)
        ],
    }

    def bounds(one: Intervals) -> dict[str, Any]:
        by_group = {kind: {key: round_bounds(getattr(one, kind)[key]) for key in keys} for kind, keys in named.items()}
        return {"fmr": round_bounds(one.fmr), "fnmr": round_bounds(one.fnmr), **by_group}

    people = found.over_people and {**row["over_people"], "ci95_by_person": bounds(found.over_people)}
    return {**row, "ci95_by_person": bounds(found), "over_people": people}


def _enough(error_rate: float, comparisons: int) -> bool:
    return round(error_rate * comparisons) >= RULE_OF_THREE


def _groups(trial: Trial, acquired: MeasuredImages, results: Results) -> dict[str, Any] | None:
    """Return the size of each group and the groups that are too small, or None without groups."""
    if not trial.groups.labels:
        return None
    present = np.unique(acquired.person)
    of_person = trial.groups.of_person[present]
    genuine = results.rates.genuine_by_group()
    people = {label: int((of_person == place).sum()) for place, label in enumerate(trial.groups.labels)}
    return {
        "people": people,
        "people_without_one": int((of_person == NO_GROUP).sum()),
        "genuine_pairs": {label: genuine.get(label, 0) for label in people},
        "impostor_pairs": results.rates.pairs_by_group(),
        "too_small": [label for label, count in people.items() if count < FEW_PEOPLE],
    }


def _settings(request: EvaluationRequest, trial: Trial, results: Results) -> dict[str, Any]:
    by_image = trial.listed is not None and trial.listed.by_image
    return {
        "comparisons": "every pair" if trial.listed is None else "listed",
        "resampled": "images" if by_image else "people",
        "resamples": request.resamples,
        "seed": request.seed,
        "threshold_step": results.step,
        "most_references": request.most_references,
        "most_images": request.most_images,
        "most_bytes": request.most_bytes,
    }


def _speed(request: EvaluationRequest, acquired: MeasuredImages) -> dict[str, Any]:
    a_second = acquired.measured / acquired.seconds
    return {
        "measured": acquired.measured,
        "from_cache": acquired.known,
        "seconds": round_rate(acquired.seconds),
        "workers": request.workers,
        "images_a_second": round_rate(a_second),
        "images_a_second_a_worker": round_rate(a_second / request.workers),
    }


def warnings(document: Mapping[str, Any]) -> list[str]:
    """Return the warnings that come before the numbers."""
    people, shared = document["acquisition"]["people_with_a_face"], document["acquisition"]["shared_images"]
    few = document["groups"]["too_small"] if document["groups"] else []
    floor = document["calibration"]["pairs_floor"]
    by_image = document["settings"]["resampled"] == "images"
    share, lookalikes = document["calibration"]["largest_person_share"] or 0, document["acquisition"]["lookalike_pairs"]
    costly = find_costly_threshold(document["stored_numbers"])
    found = {
        "The people in these images did not agree to this use.": document["statement"]["people_agreed"] == "no",
        "It is not known if the people in these images agreed to this use.": document["statement"]["people_agreed"]
        == "unknown",
        f"Few people: {people}, fewer than {FEW_PEOPLE}. One person more or less changes every rate.": not by_image
        and people < FEW_PEOPLE,
        f"{shared} images are identical to an image of another person: a wrong label, or a leak. They count as "
        "different people here.": shared > 0 and not by_image,
        f"{lookalikes} pairs of two people are nearer than half of the pairs of one person. Look for wrong labels; "
        "the terminal names the nearest.": lookalikes > 0 and not by_image,
        f"One person has {rate(share)} of the genuine pairs, so that person decides as much of each rate over pairs. "
        "Read those over people.": share > LARGEST_SHARE,
        f"The 8-bit numbers of templates raise an error rate by more than a tenth, as at {costly or 0:g}. The other "
        "rates are without that rounding.": costly is not None,
        "The folders are not people, so the intervals resample images; they are too narrow.": by_image,
        "No groups: this report cannot show whether the engine treats groups alike. Add groups.csv.": document["groups"]
        is None,
        f"Too small to say much of (fewer than {FEW_PEOPLE} people): {', '.join(few)}.": bool(few),
        f"No false match rate below {floor:.2g} is stated: the number of pairs does not support it.": True,
    }
    return [text for text, so in found.items() if so]
