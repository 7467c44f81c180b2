"""`mien evaluate`: measure an engine's error rates on a folder of images."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer
from rich.console import Console

from app.cli.command import Json, print_result, read_settings
from app.cli.errors import error_text, refuse
from app.evaluation import report_files, service
from app.evaluation.cache import Cache, default_directory
from app.evaluation.errors import EngineLostError, EvaluationError
from app.evaluation.lookalikes import MOST_LISTED
from app.evaluation.provenance import state
from app.evaluation.refusals import describe_refusals
from app.evaluation.service import Evaluation
from app.evaluation.summary import describe_rates, describe_supports, describe_trial
from app.evaluation.trial import MAX_IMAGES, MAX_REFERENCES, EvaluationRequest, Trial, prepare
from app.faces.cards.custom_calibration import seal_calibration
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import UnsupportedTargetError, choose_operating_point
from app.faces.cards.select import select_card
from app.faces.permit import ImageStatement, PeopleAgreed
from app.kit.clock import utc_now
from app.kit.progress import show_progress
from app.main import create_engine
from app.settings import Settings

app = typer.Typer()
_DUPLICATES_SHOWN = 5

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A folder with one folder of images per person.")]
Origin = Annotated[
    str | None, typer.Option("--origin", metavar="TEXT", help="Where the images came from; printed in the report.")
]
People = Annotated[
    PeopleAgreed | None,
    typer.Option("--agreed", help="Whether the people in the images agreed to this use: yes, no or unknown."),
]
Pairs = Annotated[
    Path | None,
    typer.Option("--pairs", metavar="FILE", help="CSV (reference,probe,same): make only these comparisons."),
]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="Name of the trial in the report.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Directory for evaluation.json and evaluation.html.")]
CacheDirectory = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Directory for measurements until the end (~/.cache/mien-evaluate)."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=64, help="Processes that measure; default: one for each core.")
]
Resamples = Annotated[
    int, typer.Option("--resamples", min=100, max=100_000, help="Number of resamples of people for the intervals.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Random seed; the same seed gives the same intervals.")]
MostReferences = Annotated[
    int, typer.Option("--most-references", min=1, max=20, help="Most images to enrol for one person.")
]
MostLookalikes = Annotated[
    int,
    typer.Option("--most-lookalikes", min=1, max=1000, help="Most pairs to list for a check of their labels."),
]
MostImages = Annotated[int, typer.Option("--most-images", min=1, help="Most images in DIR; more are refused.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing report.")]
Calibrate = Annotated[
    bool,
    typer.Option(
        "--calibrate", help="Seal the results as the calibration of your own engine (MIEN_ENGINE=onnx: or fused:)."
    ),
]
KeepCache = Annotated[bool, typer.Option("--keep-cache", help="Keep the measurements at the end.")]


def _cores() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 64)


@app.command()
def evaluate(
    directory: Directory,
    *,
    origin: Origin = None,
    agreed: People = None,
    pairs: Pairs = None,
    name: Name = "mien evaluate",
    out: Out = Path(),
    cache: CacheDirectory = None,
    workers: Workers = None,
    resamples: Resamples = 1000,
    seed: Seed = 1,
    most_references: MostReferences = MAX_REFERENCES,
    most_lookalikes: MostLookalikes = MOST_LISTED,
    most_images: MostImages = MAX_IMAGES,
    force: Force = False,
    calibrate: Calibrate = False,
    keep_cache: KeepCache = False,
    as_json: Json = False,
) -> None:
    """Measure the engine's error rates of images in DIR, as JSON and a page (docs/how-to/evaluate-an-engine.md)."""
    settings = read_settings()
    request = EvaluationRequest(
        root=directory,
        stated=_read_statement(origin, agreed),
        name=name,
        pairs=pairs,
        workers=workers or _cores(),
        resamples=resamples,
        seed=seed,
        most_references=most_references,
        most_lookalikes=most_lookalikes,
        most_images=most_images,
        most_bytes=settings.max_photo_bytes,
        threshold=_find_threshold(settings),
    )
    result = _evaluate(request, settings, cache, out, calibrate=calibrate, keep_cache=keep_cache, force=force)
    _print(result, out, as_json=as_json)


def _check_calibration(settings: Settings, pairs: Path | None) -> None:
    """Refuse a run that cannot be a calibration before anything is measured."""
    if settings.custom_card is None:
        raise typer.BadParameter(
            f"--calibrate: {settings.engine} ships with its calibration; it is for MIEN_ENGINE=onnx:PATH or fused:PATH"
        )
    if pairs is not None:
        raise typer.BadParameter("--calibrate: a calibration needs every pair of images; leave out --pairs")


def _read_statement(origin: str | None, agreed: PeopleAgreed | None) -> ImageStatement:
    """Return the origin of the images and the people's agreement; on a terminal ask for the missing one."""
    if (origin is None or agreed is None) and not sys.stdin.isatty():
        raise typer.BadParameter(
            "say where the images came from (--origin TEXT) and whether the people in them agreed to this use "
            "(--agreed yes, no or unknown): no face is measured without both, and the report begins with them"
        )
    if origin is None:
        origin = _ask("Where did these images come from?")
    while agreed is None:
        reply = _ask("Did the people in them agree to this use? (yes, no or unknown)").strip().lower()
        agreed = next((one for one in get_args(PeopleAgreed) if one == reply), None)
    try:
        return state(origin, agreed)
    except EvaluationError as error:
        raise typer.BadParameter(f"--origin: {error}") from error


def _ask(question: str) -> str:
    """Ask on standard error; standard output is for the result of the command."""
    try:
        return Console(stderr=True).input(f"{question} ", markup=False)
    except EOFError:
        raise typer.Abort from None


def _evaluate(
    request: EvaluationRequest,
    settings: Settings,
    directory: Path | None,
    out: Path,
    *,
    calibrate: bool,
    keep_cache: bool,
    force: bool,
) -> Evaluation:
    """Evaluate, write the report, and seal it if requested; only an interrupted run leaves its cache."""
    report_files.check_output(out, force=force)
    if calibrate:
        _check_calibration(settings, request.pairs)
    trial = prepare(request)
    measuring = settings.model_copy(update={"engine_workers": request.workers, "engine_queue": 2 * request.workers})
    pool, card = create_engine(measuring, calibrated=False)
    with Cache(directory or default_directory(), card) as cache, _sigterm_as_interrupt():
        pool.start()
        try:
            result = _write_report(request, trial, (pool, card), cache, out)
            if calibrate:
                typer.echo(f"mien: calibrated: {seal_calibration(result.document, settings=settings)}", err=True)
        except (KeyboardInterrupt, EngineLostError, CustomEngineError, OSError) as error:
            _exit_interrupted(cache, error)
        except EvaluationError:
            _end_cache(cache, keep_cache=keep_cache)
            raise
        finally:
            pool.close()
        _end_cache(cache, keep_cache=keep_cache)
    return result


def _write_report(
    request: EvaluationRequest, trial: Trial, engine: service.Engine, cache: Cache, out: Path
) -> Evaluation:
    with show_progress() as progress:
        result = service.evaluate(request, trial, engine, cache, now=utc_now(), progress=progress)
        progress("writing the report")
        report_files.write_report(out, result.document)
    return result


@contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C in the block, so that the measurements are kept and the message says where."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _exit_interrupted(cache: Cache, error: BaseException) -> NoReturn:
    """Exit with 1, the reason, the place of the measurements, and how to delete them."""
    why = "interrupted" if isinstance(error, KeyboardInterrupt) else error_text(error) or str(error)
    if cache.empty():
        cache.delete()
        refuse(why)
    refuse(f"{why}. The measurements are kept: the same command continues from them; to delete: rm {cache.path}")


def _end_cache(cache: Cache, *, keep_cache: bool) -> None:
    if keep_cache:
        typer.echo(f"mien: the measurements are kept; to delete: rm {cache.path}", err=True)
    else:
        cache.delete()


def _print(result: Evaluation, out: Path, *, as_json: bool) -> None:
    for one, other in result.shared[:_DUPLICATES_SHOWN]:
        typer.echo(f"mien: warning: the same image twice: {str(one)!r} and {str(other)!r}", err=True)
    for one, other, looks_like in result.lookalikes:
        typer.echo(f"mien: check the labels: {looks_like}? {str(one)!r} and {str(other)!r}", err=True)
    if result.largest_person is not None:
        typer.echo(
            f"mien: warning: no folder has more genuine pairs than this one: {result.largest_person!r}", err=True
        )
    if as_json:
        print_result(result.document, as_json=True)
        return
    for text in result.document["warnings"]:
        typer.echo(f"mien: warning: {text}", err=True)
    print_result(_summary(result.document, out), as_json=False)


def _summary(document: dict[str, Any], out: Path) -> dict[str, Any]:
    described = {**describe_trial(document), **describe_refusals(document)}
    fields = {label: "; ".join(lines) for label, lines in described.items()}
    for row in describe_rates(document):
        fields[f"Threshold {row.threshold}"] = f"FMR {_text(row.fmr)}, FNMR {_text(row.fnmr)}"
        if row.fmr_over_people and row.fnmr_over_people:
            people = f"FMR {_text(row.fmr_over_people)}, FNMR {_text(row.fnmr_over_people)}"
            fields[f"Threshold {row.threshold}, over people"] = people
    fields |= {label: "; ".join(lines) for label, lines in describe_supports(document).items()}
    speed = document["speed"]
    fields["Speed"] = f"{speed['images_a_second_a_worker']} images a second for each of {speed['workers']} workers"
    return {**fields, "Report": str(out / report_files.HTML_FILE), "Numbers": str(out / report_files.JSON_FILE)}


def _text(rate: tuple[str, str]) -> str:
    words, interval = rate
    return f"{words} ({interval})" if interval else words


def _find_threshold(settings: Settings) -> float | None:
    """Return the threshold in force in the service, or None if the engine or the target has none."""
    try:
        return choose_operating_point(select_card(settings), settings).threshold
    except (CustomEngineError, UnsupportedTargetError):
        return None
