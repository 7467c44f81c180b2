"""How many images a second `mien evaluate` measures on each core of the default engine, and how long it compares.

    .venv/bin/python -m benchmarks.evaluate [IMAGES]

The images are the synthetic people of `tests/images`, each cut a little differently, so that no two are the same.
"""

import io
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from app.evaluation import galleries, rates, resampling, scores, service
from app.evaluation.cache import Cache
from app.evaluation.groups import no_groups
from app.evaluation.provenance import state
from app.evaluation.scores import ComparisonSource
from app.evaluation.trial import MAX_REFERENCES, EvaluationRequest, prepare
from app.kit.clock import utc_now
from app.main import create_engine
from app.settings import Settings
from benchmarks import report
from benchmarks.pictures import PEOPLE

IMAGES = 360
COMPARED = (1_000, 4_000, 13_000)


def main(images: int) -> None:
    """Measure with one worker and with one for each core; then compare invented vectors."""
    report.say(report.machine())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "trial"
        count = fill(folder, images)
        rows = [measured(folder, Path(place), workers, count) for workers in sorted({1, len(os.sched_getaffinity(0))})]
    report.table(["workers", "images", "seconds", "images a second", "for each worker", "for a second of a core"], rows)
    report.say()
    columns = ["images compared", "pairs", "counting, s", "1,000 resamples, s", "galleries, s"]
    report.table(columns, [compared(n) for n in COMPARED])


def fill(folder: Path, images: int) -> int:
    """Write so many images of the synthetic people, each by another edge; return how many."""
    files = sorted(PEOPLE.glob("*/*.jpg"))
    for number in range(images):
        source = files[number % len(files)]
        edge = number // len(files)
        with Image.open(source) as opened_image:
            cut = opened_image.convert("RGB").crop((edge, edge, opened_image.width, opened_image.height))
        out = io.BytesIO()
        cut.save(out, "JPEG", quality=92)
        (folder / source.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / source.parent.name / f"{number:05}.jpg").write_bytes(out.getvalue())
    return images


def measured(folder: Path, place: Path, workers: int, images: int) -> list[str]:
    """Evaluate with so many workers; return a row."""
    settings = Settings(engine_workers=workers, engine_queue=2 * workers)
    stated = state("synthetic people", "yes")
    asked = EvaluationRequest(
        root=folder,
        stated=stated,
        name="benchmark",
        workers=workers,
        resamples=100,
        most_bytes=settings.max_photo_bytes,
    )
    trial = prepare(asked)
    engine = create_engine(settings)
    before = report.cpu_s(os.getpid())
    with Cache(place / "cache", engine[1]) as cache:
        engine[0].start()
        try:
            found = service.evaluate(asked, trial, engine, cache, now=utc_now(), progress=lambda _doing: None)
            used = report.cpu_s(os.getpid()) - before
        finally:
            engine[0].close()
        cache.delete()
    speed = found.document["speed"]
    rate = speed["images_a_second"]
    return [
        str(workers),
        str(images),
        f"{speed['seconds']:.1f}",
        f"{rate:.1f}",
        f"{rate / workers:.1f}",
        f"{images / used:.1f}",
    ]


def compared(images: int) -> list[str]:
    """Compare vectors of invented people, three images each; return a row."""
    chance = np.random.default_rng(1)
    person = np.arange(images) // 3
    middles = chance.normal(size=(int(person.max()) + 1, 128)) * 0.055
    source = ComparisonSource(middles[person] + chance.normal(size=(images, 128)) * 0.02, person, "l2")
    groups = no_groups(int(person.max()) + 1)
    begun = time.perf_counter()
    found = rates.Rates(scores.tally(source, groups, scores.STEP), groups)
    counted = time.perf_counter()
    thresholds = sorted(point.threshold for point in rates.points(found.table(), found.floor))
    resampling.intervals(source, groups, thresholds, resamples=1000, seed=1, progress=lambda _doing: None)
    resampled = time.perf_counter()
    levels = [row["threshold"] for row in found.table() if row["fmr"] <= galleries.HIGHEST_FMR]
    draws = resampling.Draws(1000, 1)
    trial = galleries.GalleryTrial(source.vectors, person, "l2", groups, levels, MAX_REFERENCES, draws)
    everyone = trial.search()
    if everyone is not None:
        galleries.galleries(trial, everyone)
    ended = time.perf_counter()
    pairs = found.genuine_pairs + found.impostor_pairs
    seconds = (counted - begun, resampled - counted, ended - resampled)
    return [f"{images:,}", f"{pairs:,}", *(f"{one:.1f}" for one in seconds)]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
