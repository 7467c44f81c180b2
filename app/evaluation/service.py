"""One evaluation, from a folder to a report: measure, count, resample, report."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from app.evaluation import galleries, identification, references, report, resampling, scores, stored_numbers
from app.evaluation.cache import Cache
from app.evaluation.errors import EvaluationError
from app.evaluation.lookalikes import Lookalike, NearestStrangers
from app.evaluation.measure_images import MeasuredImages, Measurer, measure_folder
from app.evaluation.rates import RULE_OF_THREE, Rates, mark_in_force, points, round_rate
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
    lookalikes: tuple[Lookalike, ...] = field(repr=False)
    """Files of two people that look like one person, for the operator only."""
    largest_person: str | None = field(repr=False)
    """Folder of the person with too large a share of the genuine pairs, for the operator only."""


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
    nearest = NearestStrangers(request.most_lookalikes)
    results = compute_results(request, trial, source, nearest, progress)
    return Evaluation(
        report.build_report(request, trial, acquired, card, results, now=now),
        acquired.shared,
        tuple(nearest.lookalikes(acquired, trial.folder.samples, results.rates.typical_genuine())),
        trial.folder.people[int(source.genuine_of_person().argmax())]
        if (results.largest_person_share or 0) > report.LARGEST_SHARE
        else None,
    )


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
        of_people=not trial.listed.by_image,
    )


def _check(source: ComparisonSource, acquired: MeasuredImages) -> None:
    """Check that the comparisons can give a rate.

    Raises:
        EvaluationError: no genuine comparison, or fewer than three of different people.
    """
    genuine = int(source.genuine_of_person().sum())
    every = len(source.person) * (len(source.person) - 1) // 2 if source.listed is None else len(source.listed[0])
    impostor = every - genuine
    if genuine and impostor >= RULE_OF_THREE:
        return
    lost = {**acquired.not_acquired, **acquired.not_enrolled}
    why = f" ({', '.join(f'{reason} {count}' for reason, count in sorted(lost.items()))})" if lost else ""
    raise EvaluationError(
        f"{len(source.vectors)} of {acquired.images} images gave a face{why}: that makes {genuine} comparisons of one "
        f"person and {impostor} of two; at least 1 and {RULE_OF_THREE} are needed. Add people, or images of them"
    )


def compute_results(
    request: EvaluationRequest, trial: Trial, source: ComparisonSource, nearest: NearestStrangers, progress: Progress
) -> report.Results:
    """Compute every number of the report, and collect the nearest comparisons of two people."""
    step = scores.step_for(source.vectors, source.metric)
    rates = Rates(scores.tally(source, trial.groups, step, nearest.add), trial.groups)
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
    share = round_rate(source.genuine_of_person().max() / rates.genuine_pairs) if source.of_people else None
    lookalikes = rates.impostors_below(rates.typical_genuine())
    results = report.Results(rates, table, rows, chosen, bounds, step, stored, share, lookalikes)
    if source.listed is None:
        progress("comparing with several references, and with galleries")
        _add_searches(results, request, trial, source)
    return results


def _add_searches(results: report.Results, request: EvaluationRequest, trial: Trial, source: ComparisonSource) -> None:
    """Add the rates with several references and in galleries, which a list of pairs does not have."""
    draws = resampling.Draws(request.resamples, request.seed)
    people = (source.vectors, source.person, source.metric)
    thresholds = sorted(point.threshold for point in results.points)
    results.references = references.references(*people, thresholds, draws, most=request.most_references)
    low = (row["threshold"] for row in results.table if row["fmr"] <= galleries.HIGHEST_FMR)
    tried = galleries.GalleryTrial(*people, trial.groups, sorted({*low, *thresholds}), request.most_references, draws)
    everyone = tried.search()
    if everyone is not None:
        rates = [results.rows[each]["fmr"] for each in thresholds]
        results.identification = identification.identification(everyone, thresholds, rates, draws)
        results.galleries = galleries.galleries(tried, everyone)
