"""`mien evaluate`: how often an engine errs on a folder of images."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_args

import typer
from rich.console import Console

from app.cli.command import Json, answer, read_settings, refuse, refusing
from app.evaluation import report_files, service
from app.evaluation.cache import Cache, default_directory, opened
from app.evaluation.errors import EngineLostError, EvaluationError
from app.evaluation.number_format import bounds, rate
from app.evaluation.provenance import state
from app.evaluation.service import Evaluation
from app.evaluation.trial import MOST_IMAGES, MOST_REFERENCES, Asked, Trial, prepare
from app.faces.cards.custom_calibration import seal_calibration
from app.faces.cards.custom_card import OwnEngineError
from app.faces.permit import Agreed, Stated
from app.kit.clock import utc_now
from app.kit.progress import telling
from app.main import create_engine
from app.settings import Settings

app = typer.Typer()
_SHOWN_SHARED = 5


Directory = Annotated[Path, typer.Argument(metavar="DIR", help="A folder with one folder of images per person.")]
Origin = Annotated[
    str | None, typer.Option("--origin", metavar="TEXT", help="Where the images came from; stands in the report.")
]
People = Annotated[
    Agreed | None, typer.Option("--agreed", help="Whether the people in them agreed to this use: yes, no or unknown.")
]
Pairs = Annotated[
    Path | None,
    typer.Option("--pairs", metavar="FILE", help="CSV (reference,probe,same): make only these comparisons."),
]
Name = Annotated[str, typer.Option("--name", metavar="TEXT", help="What the trial is called in the report.")]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where evaluation.json and evaluation.html are put.")]
CacheDirectory = Annotated[
    Path | None,
    typer.Option("--cache", metavar="DIR", help="Where what is measured is kept meanwhile (~/.cache/mien-evaluate)."),
]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=64, help="Processes that measure; as many as there are cores.")
]
Resamples = Annotated[int, typer.Option("--resamples", min=100, max=100_000, help="How often people are drawn.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of the draws: the same gives the same intervals.")]
MostReferences = Annotated[
    int, typer.Option("--most-references", min=1, max=20, help="Enrolled images of one person, at most.")
]
MostImages = Annotated[int, typer.Option("--most-images", min=1, help="More images are refused.")]
Force = Annotated[bool, typer.Option("--force", help="Write over a report that is there.")]
Calibrate = Annotated[
    bool,
    typer.Option("--calibrate", help="Seal what is found as the calibration of your own engine (MIEN_ENGINE=onnx:)."),
]
KeepCache = Annotated[bool, typer.Option("--keep-cache", help="Do not delete the cache at the end.")]


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
    most_references: MostReferences = MOST_REFERENCES,
    most_images: MostImages = MOST_IMAGES,
    force: Force = False,
    calibrate: Calibrate = False,
    keep_cache: KeepCache = False,
    as_json: Json = False,
) -> None:
    """Count how often the engine errs on the images in DIR: error rates with intervals, by group, as JSON and a page.

    Opens no database. The report begins with the source of the images. See docs/how-to/evaluate-an-engine.md.
    """
    settings = read_settings()
    with refusing():
        asked = Asked(
            root=directory,
            stated=_stated(origin, agreed),
            name=name,
            pairs=pairs,
            workers=workers or _cores(),
            resamples=resamples,
            seed=seed,
            most_references=most_references,
            most_images=most_images,
            most_bytes=settings.max_photo_bytes,
        )
        report_files.check(out, force=force)
        found = _evaluated(asked, settings, cache, out, calibrate=calibrate, keep_cache=keep_cache)
    _say(found, out, as_json=as_json)


def _calibratable(settings: Settings, pairs: Path | None) -> None:
    """Refuse before anything is measured what cannot be a calibration."""
    if settings.own_card is None:
        raise typer.BadParameter(
            f"--calibrate: {settings.engine} ships with its calibration; it is for MIEN_ENGINE=onnx:PATH"
        )
    if pairs is not None:
        raise typer.BadParameter("--calibrate: a calibration is of every pair of images; leave --pairs out")


def _stated(origin: str | None, agreed: Agreed | None) -> Stated:
    """Return what was said of the images; ask for what was not, if somebody is there to answer."""
    if (origin is None or agreed is None) and not sys.stdin.isatty():
        raise typer.BadParameter(
            "say where the images came from (--origin TEXT) and whether the people in them agreed to this use "
            "(--agreed yes, no or unknown): faces are not measured without that, and the report begins with it"
        )
    if origin is None:
        origin = _answered("Where did these images come from?")
    while agreed is None:
        said = _answered("Did the people in them agree to this use? (yes, no or unknown)")
        agreed = next((one for one in get_args(Agreed) if one == said.strip().lower()), None)
    try:
        return state(origin, agreed)
    except EvaluationError as error:
        raise typer.BadParameter(f"--origin: {error}") from error


def _answered(question: str) -> str:
    """Ask on the terminal, and leave standard output to the answer of the command."""
    try:
        return Console(stderr=True).input(f"{question} ", markup=False)
    except EOFError:
        raise typer.Abort from None


def _evaluated(
    asked: Asked, settings: Settings, directory: Path | None, out: Path, *, calibrate: bool, keep_cache: bool
) -> Evaluation:
    """Evaluate, write the report, and seal it if asked; the cache outlasts only an interruption."""
    if calibrate:
        _calibratable(settings, asked.pairs)
    trial = prepare(asked)
    measuring = settings.model_copy(update={"engine_workers": asked.workers, "engine_queue": 2 * asked.workers})
    pool, card = create_engine(measuring, calibrated=False)
    with opened(directory or default_directory(), card) as cache, _terminable():
        pool.start()
        try:
            found = _whole(asked, trial, (pool, card), cache, out)
            if calibrate:
                typer.echo(f"mien: calibrated: {seal_calibration(found.document, settings=settings)}", err=True)
        except (KeyboardInterrupt, EngineLostError, OwnEngineError, OSError) as error:
            _interrupted(cache, error)
        except EvaluationError:
            _end(cache, keep_cache=keep_cache)
            raise
        finally:
            pool.close()
        _end(cache, keep_cache=keep_cache)
    return found


def _whole(asked: Asked, trial: Trial, engine: service.Engine, cache: Cache, out: Path) -> Evaluation:
    with telling() as tell:
        found = service.evaluate(asked, trial, engine, cache, now=utc_now(), tell=tell)
        tell("writing the report")
        report_files.write(out, found.document)
    return found


@contextmanager
def _terminable() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C while the block lasts: what was measured is kept, and it is said where."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupted(cache: Cache, error: BaseException) -> NoReturn:
    """Say why it ended, where what was measured is, and how to delete it."""
    why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
    if cache.empty():
        cache.delete()
        refuse(why)
    refuse(f"{why}. What was measured is kept: the same command goes on from there; to delete it: rm {cache.path}")


def _end(cache: Cache, *, keep_cache: bool) -> None:
    if keep_cache:
        typer.echo(f"mien: what was measured is kept, to delete it: rm {cache.path}", err=True)
    else:
        cache.delete()


def _say(found: Evaluation, out: Path, *, as_json: bool) -> None:
    for one, other in found.shared[:_SHOWN_SHARED]:
        typer.echo(f"mien: warning: the same bytes: {str(one)!r} and {str(other)!r}", err=True)
    if as_json:
        answer(found.document, as_json=True)
        return
    for text in found.document["warnings"]:
        typer.echo(f"mien: warning: {text}", err=True)
    answer(_shown(found.document, out), as_json=False)


def _shown(told: dict[str, Any], out: Path) -> dict[str, Any]:
    tried = told["acquisition"]
    fields = {
        "people": tried["people"],
        "images": f"{tried['images']}, {tried['measured']} measured",
        "failure to acquire": rate(tried["failure_to_acquire"]["rate"]),
        "failure to enrol": rate(tried["failure_to_enrol"]["rate"]),
    }
    for one in told["at"]:
        both = one["ci95_by_person"]
        fields[f"at {one['threshold']}"] = (
            f"FMR {rate(one['fmr'])} ({bounds(both['fmr'])}), FNMR {rate(one['fnmr'])} ({bounds(both['fnmr'])})"
        )
    speed = told["speed"]
    fields["speed"] = f"{speed['images_a_second_a_worker']} images a second for each of {speed['workers']} workers"
    return {**fields, "report": str(out / report_files.HTML_FILE), "numbers": str(out / report_files.JSON_FILE)}
