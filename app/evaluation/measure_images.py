"""Measures every image on all cores, and counts the images that give no vector.

Each image is judged as a photo to enrol. If it is refused, it is judged once more as a probe, whose limits are wider:
the comparisons are of all images that are accepted as a probe. An unreadable file, or one that no worker answered for,
is not cached: the next run tries it again.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.evaluation.cache import Cache, Outcome
from app.evaluation.errors import EngineLostError
from app.evaluation.image_folder import Folder, Sample, read
from app.faces.flaws import Flaw
from app.faces.permit import ImageStatement, PhotoUse
from app.faces.workers.pool import EnginePool
from app.kit.errors import BusyError
from app.kit.progress import Progress

_REPORT_EVERY: Final = 10
_THREADS_A_WORKER: Final = 2
"""One waits with the next image while another's is measured."""
POOR_QUALITY: Final = "poor-quality"


class NoAnswer(StrEnum):
    """Reason why a file has no answer from a worker."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too-large"
    NO_ANSWER = "no-answer"
    """A worker timed out, or two workers died on it."""


@dataclass(frozen=True, slots=True)
class TriedImages:
    """The readable images, accepted or refused."""

    person: npt.NDArray[np.int64]
    """For each image, its person."""
    refused: Mapping[PhotoUse, tuple[str | None, ...]]
    """For each image, the reason why it is refused for a use; None if it is accepted."""


@dataclass(frozen=True, slots=True)
class MeasuredImages:
    """Vectors and counts of all images."""

    vectors: npt.NDArray[np.float64]
    """One row for each image that gave one face."""
    place: npt.NDArray[np.int64]
    """For each row, its place among the samples."""
    person: npt.NDArray[np.int64]
    """For each row, its person."""
    images: int
    """Images that were readable and tried; identical files in one person's folder count once."""
    not_acquired: Counter[str]
    """Failures to acquire: no image, no face, several faces; by reason."""
    not_enrolled: Counter[str]
    """Failures to enrol: one face, of too poor a quality; by reason."""
    tried: TriedImages
    unreadable: int
    repeated: int
    """Ignored: identical files in one person's folder."""
    shared: tuple[tuple[Path, Path], ...]
    """Identical files in two people's folders, for the operator only; no report contains them."""
    measured: int
    """Images measured by workers in this run."""
    known: int
    """Images found in the cache."""
    seconds: float
    """Duration of measuring, with the start of the workers."""


@dataclass(frozen=True, slots=True)
class _FileOutcome:
    """Outcome of one file."""

    outcome: Outcome | NoAnswer
    """As a probe."""
    enrolment_flaw: Flaw | None = None
    """The reason why it is refused as a photo to enrol."""
    key: str = ""
    """Equal for equal files."""
    fresh: Mapping[str, Outcome | NoAnswer] = field(default_factory=dict)
    """Outcomes of this run by their key in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurer:
    """Engine workers, statement and cache for measuring images."""

    pool: EnginePool
    stated: ImageStatement
    cache: Cache
    most_bytes: int
    workers: int

    def measure(self, path: Path) -> _FileOutcome:
        """Return the outcome of one file, from the cache or from a worker.

        Raises:
            EngineLostError: the engine is unusable.
        """
        try:
            image = read(path, most_bytes=self.most_bytes)
        except OSError:
            return _FileOutcome(NoAnswer.UNREADABLE)
        if image is None:
            return _FileOutcome(NoAnswer.TOO_LARGE, key=str(path))
        key, fresh = self.cache.key(image, PhotoUse.ENROLMENT), dict[str, Outcome | NoAnswer]()
        outcome = self._judge(image, PhotoUse.ENROLMENT, fresh)
        if not isinstance(outcome, Flaw):
            return _FileOutcome(outcome, key=key, fresh=fresh)
        return _FileOutcome(self._judge(image, PhotoUse.PROBE, fresh), outcome, key, fresh)

    def _judge(self, image: bytes, use: PhotoUse, fresh: dict[str, Outcome | NoAnswer]) -> Outcome | NoAnswer:
        """Return the outcome of one image for one use; one that is not in the cache is added to *fresh*."""
        key = self.cache.key(image, use)
        if (known := self.cache.find(key)) is not None:
            return known
        try:
            (answer,) = self.pool.measure_for_evaluation(self.stated, [image], use)
        except BusyError:
            status = self.pool.status()
            if not status.ready:
                raise EngineLostError(f"the engine {status.engine} cannot be used: {status.reason}") from None
            return fresh.setdefault(key, NoAnswer.NO_ANSWER)
        return fresh.setdefault(key, answer if isinstance(answer, Flaw) else np.array(answer.vector))


def measure_folder(folder: Folder, measurer: Measurer, *, listed: bool, progress: Progress) -> MeasuredImages:
    """Measure every sample of *folder* that is not in the cache.

    Args:
        listed: the operator listed the comparisons, so that identical files are kept.

    Raises:
        EngineLostError: the engine is unusable.
    """
    start = time.monotonic()
    found: dict[int, _FileOutcome] = {}
    fresh = 0
    for place, one in _measured(folder.samples, measurer):
        found[place] = one
        fresh += bool(one.fresh)
        for key, outcome in one.fresh.items():
            if not isinstance(outcome, NoAnswer) and measurer.cache.find(key) is None:
                measurer.cache.add(key, outcome)
        if len(found) % _REPORT_EVERY == 0:
            pace = fresh / (time.monotonic() - start)
            progress(f"images {len(found)} of {len(folder.samples)}, {pace:.1f} a second")
    seconds = time.monotonic() - start
    return _count(
        folder.samples, [found[place] for place in range(len(found))], listed=listed, fresh=fresh, seconds=seconds
    )


def _measured(samples: Sequence[Sample], measurer: Measurer) -> Iterator[tuple[int, _FileOutcome]]:
    """Measure on all workers; yield each outcome as it is ready."""
    threads = ThreadPoolExecutor(_THREADS_A_WORKER * measurer.workers, thread_name_prefix="measuring")
    try:
        places = {threads.submit(measurer.measure, sample.path): place for place, sample in enumerate(samples)}
        for done in as_completed(places):
            yield places[done], done.result()
    finally:
        threads.shutdown(wait=True, cancel_futures=True)


def _count(
    samples: Sequence[Sample], found: Sequence[_FileOutcome], *, listed: bool, fresh: int, seconds: float
) -> MeasuredImages:
    readable = [place for place, one in enumerate(found) if one.outcome is not NoAnswer.UNREADABLE]
    tried, shared = _distinct(samples, found, readable)
    if listed:
        tried = readable
    kept: list[int] = []
    not_acquired: Counter[str] = Counter()
    not_enrolled: Counter[str] = Counter()
    for place in tried:
        outcome = found[place].outcome
        if isinstance(outcome, NoAnswer):
            not_acquired[outcome.value] += 1
        elif not isinstance(outcome, Flaw):
            kept.append(place)
        elif outcome.slug == POOR_QUALITY:
            not_enrolled[outcome.value] += 1
        else:
            not_acquired[outcome.slug] += 1
    vectors = [found[place].outcome for place in kept]
    return MeasuredImages(
        vectors=np.array(vectors, dtype=np.float64).reshape(len(kept), -1 if kept else 0),
        place=np.array(kept, dtype=np.int64),
        person=np.array([samples[place].person for place in kept], dtype=np.int64),
        images=len(tried),
        not_acquired=not_acquired,
        not_enrolled=not_enrolled,
        tried=_tried([samples[place].person for place in tried], [found[place] for place in tried]),
        unreadable=len(samples) - len(readable),
        repeated=len(readable) - len(tried),
        shared=shared,
        measured=fresh,
        known=sum(not one.fresh and not isinstance(one.outcome, NoAnswer) for one in found),
        seconds=seconds,
    )


def _tried(person: list[int], found: Sequence[_FileOutcome]) -> TriedImages:
    as_probe = tuple(give_reason(one.outcome) for one in found)
    as_enrolment = tuple(give_reason(one.enrolment_flaw or one.outcome) for one in found)
    refused = {PhotoUse.PROBE: as_probe, PhotoUse.ENROLMENT: as_enrolment}
    return TriedImages(np.array(person, dtype=np.int64), refused)


def give_reason(outcome: Outcome | NoAnswer) -> str | None:
    """Return the slug of a refusal, with the code of the flaw if the quality is poor; None for a vector."""
    if isinstance(outcome, Flaw):
        return f"{outcome.slug}: {outcome.value}" if outcome.slug == POOR_QUALITY else outcome.slug
    return outcome.value if isinstance(outcome, NoAnswer) else None


def _distinct(
    samples: Sequence[Sample], found: Sequence[_FileOutcome], places: Sequence[int]
) -> tuple[list[int], tuple[tuple[Path, Path], ...]]:
    """Return the places without repeated images of one person, and the images that two people share."""
    of_person: set[tuple[str, int]] = set()
    first: dict[str, int] = {}
    distinct, shared = [], []
    for place in places:
        mine = (found[place].key, samples[place].person)
        if mine in of_person:
            continue
        of_person.add(mine)
        distinct.append(place)
        earlier = first.setdefault(found[place].key, place)
        if earlier != place:
            shared.append((samples[earlier].path, samples[place].path))
    return distinct, tuple(shared)
