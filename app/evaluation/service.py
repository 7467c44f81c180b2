"""One evaluation, from a folder to a report: measure, count, resample, report."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from app.evaluation import identification, references, report, resampling, scores, stored_numbers
from app.evaluation.cache import Cache
from app.evaluation.errors import EvaluationError
from app.evaluation.measure_images import MeasuredImages, Measurer, measure_folder
from app.evaluation.rates import RULE_OF_THREE, Rates, mark_in_force, points
from app.evaluation.scores import ComparisonSource
from app.evaluation.trial import EvaluationRequest, Trial
from app.faces.cards.card import Card
from app.faces.workers.pool import EnginePool
from app.kit.progress import Progress

Engine: TypeAlias = tuple[EnginePool, Card]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A finished evaluation."""

    document: dict[str, Any]
    shared: tuple[tuple[Path, Path], ...] = field(repr=False)
    """Identical files of two people, for the operator only; no report contains them."""


def evaluate(
    request: EvaluationRequest, trial: Trial, engine: Engine, cache: Cache, *, now: datetime, progress: Progress
) -> Evaluation:
    """Measure the images that are not in the cache, and compute the report.

    Raises:
        EvaluationError: the engine is unusable, or too few images gave a face.
    """
    pool, card = engine
    measurer = Measurer(
        pool=pool, stated=request.stated, cache=cache, most_bytes=request.most_bytes, workers=request.workers
    )
    acquired = measure_folder(trial.folder, measurer, listed=trial.listed is not None, progress=progress)
    source = _source(trial, acquired, card)
    _check(source, acquired)
    progress("comparing")
    results = compute_results(request, trial, source, progress)
    return Evaluation(report.build_report(request, trial, acquired, card, results, now=now), acquired.shared)


def _source(trial: Trial, acquired: MeasuredImages, card: Card) -> ComparisonSource:
    """Return the comparisons between images that gave a face."""
    if trial.listed is None:
        return ComparisonSource(acquired.vectors, acquired.person, card.metric)
    row = {int(place): number for number, place in enumerate(acquired.place)}
    made = [(row[one], row[other], same) for one, other, same in trial.listed.comparisons if {one, other} <= row.keys()]
    one, other = (np.array([each[side] for each in made], dtype=np.int64) for side in (0, 1))
    return ComparisonSource(
        acquired.vectors,
        acquired.person,
        card.metric,
        (one, other, np.array([each[2] for each in made], dtype=np.bool_)),
    )


def _check(source: ComparisonSource, acquired: MeasuredImages) -> None:
    """Check that the comparisons can give a rate.

    Raises:
        EvaluationError: no genuine comparison, or fewer than three of different people.
    """
    if source.listed is not None:
        same = source.listed[2]
        genuine, impostor = int(same.sum()), int((~same).sum())
    else:
        counts = np.bincount(source.person) if len(source.person) else np.zeros(1, dtype=np.int64)
        genuine = int((counts * (counts - 1) // 2).sum())
        impostor = len(source.person) * (len(source.person) - 1) // 2 - genuine
    if genuine and impostor >= RULE_OF_THREE:
        return
    lost = {**acquired.not_acquired, **acquired.not_enrolled}
    why = f" ({', '.join(f'{reason} {count}' for reason, count in sorted(lost.items()))})" if lost else ""
    raise EvaluationError(
        f"{len(source.vectors)} of {acquired.images} images gave a face{why}: that makes {genuine} comparisons of one "
        f"person and {impostor} of two; at least 1 and {RULE_OF_THREE} are needed. Add people, or images of them"
    )


def compute_results(
    request: EvaluationRequest, trial: Trial, source: ComparisonSource, progress: Progress
) -> report.Results:
    """Compute every number of the report."""
    step = scores.step_for(source.vectors, source.metric)
    rates = Rates(scores.tally(source, trial.groups, step), trial.groups)
    table = rates.table()
    chosen, rows = points(table, rates.floor), {each["threshold"]: each for each in table}
    if request.threshold is not None:
        in_force = rates.row_at(request.threshold)
        chosen = mark_in_force(chosen, in_force["threshold"])
        rows.setdefault(in_force["threshold"], in_force)
    thresholds = sorted(point.threshold for point in chosen)
    bounds = resampling.intervals(
        source, trial.groups, thresholds, resamples=request.resamples, seed=request.seed, progress=progress
    )
    progress("comparing with stored numbers")
    stored = stored_numbers.compare_stored_numbers(source, thresholds)
    results = report.Results(rates, table, rows, chosen, bounds, step, stored)
    if source.listed is None:
        progress("comparing with several references, and with galleries")
        with_people = (source.vectors, source.person, source.metric, thresholds)
        results.references = references.references(*with_people, most=request.most_references)
        results.identification = identification.identification(*with_people, [rows[each]["fmr"] for each in thresholds])
    return results
