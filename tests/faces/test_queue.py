"""Fair turns: callers of the engine, and kinds of work, wait for one image of the others and not for all their jobs."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.faces.flaws import Flaw
from app.faces.permit import JobKind, JobOwner
from app.faces.workers.queue import Job, JobQueue
from app.kit.errors import BusyError

DOOR, GATE = (JobOwner(JobKind.VERIFICATION, UUID(int=number)) for number in (1, 2))
ADA, BEN = (JobOwner(JobKind.ENROLMENT, UUID(int=number)) for number in (1, 2))
RENEWAL = JobOwner()


class Engine:
    """One worker that measures an image at once."""

    def __init__(self, capacity: int = 8) -> None:
        self.queue = JobQueue(capacity)
        self.queue.open()
        self.jobs: list[Job] = []
        self._running: Job | None = None

    def put(self, owner: JobOwner, images: int = 1, *, times: int = 1) -> Job:
        """Add jobs of *owner*; return the last."""
        for _ in range(times):
            job = Job([b""] * images, keep_photos=False, owner=owner)
            self.queue.put(job)
            self.jobs.append(job)
        return self.jobs[-1]

    def measure_one(self) -> JobOwner | None:
        """Measure one image as a supervisor does; return whose it is, or None if no job waits."""
        job = self._running = self._running or self.queue.take(0)
        if job is None:
            return None
        job.add_answer(Flaw.NO_FACE)
        if job.remaining():
            self._running = self.queue.interrupt(job)
        else:
            job.finish()
            self.queue.release(job)
            self._running = None
        return job.owner

    def measure_all(self) -> list[JobOwner]:
        """Measure all images; return their owners in order."""
        return list(iter(self.measure_one, None))


def is_refused(job: Job) -> bool:
    """Return whether the job was refused while it waited."""
    return job._outcome.done() and isinstance(job._outcome.exception(), BusyError)


def test_callers_of_one_kind_take_turns_of_one_image() -> None:
    engine = Engine()
    engine.put(ADA, 5, times=2)
    engine.put(BEN, 2)

    assert engine.measure_all() == [ADA, BEN, ADA, BEN, *[ADA] * 8]


def test_kinds_of_work_take_turns_whatever_the_number_of_callers() -> None:
    engine = Engine(capacity=20)
    for number in range(10):
        engine.put(JobOwner(JobKind.ENROLMENT, UUID(int=number)), 5)
    engine.put(DOOR, times=4)

    assert [owner.kind for owner in engine.measure_all()[:8]].count(JobKind.VERIFICATION) == 4


def test_caller_who_comes_during_an_enrolment_waits_for_one_image() -> None:
    engine = Engine()
    engine.put(ADA, 5)
    first = engine.measure_one()
    engine.put(BEN)
    engine.put(DOOR)

    assert [first, *(engine.measure_one() for _ in range(4))] == [ADA, ADA, DOOR, BEN, ADA]


def test_caller_who_comes_again_and_again_does_not_overtake() -> None:
    engine = Engine()
    engine.put(DOOR, times=3)
    turns = []
    for _ in range(6):
        engine.put(GATE)
        turns.append(engine.measure_one())

    assert turns.count(DOOR) == 3


def test_renewal_is_last_and_gives_its_place_away() -> None:
    engine = Engine(capacity=2)
    renewal = engine.put(RENEWAL)
    engine.put(DOOR)
    turn = engine.measure_one()
    engine.put(DOOR)
    engine.put(GATE)

    assert turn == DOOR
    assert is_refused(renewal)
    with pytest.raises(BusyError):
        engine.put(RENEWAL)


def test_only_the_caller_with_the_most_places_is_refused() -> None:
    engine = Engine(capacity=6)
    newest = engine.put(DOOR, times=6)
    engine.put(GATE)
    with pytest.raises(BusyError):
        engine.put(DOOR)

    assert [is_refused(job) for job in engine.jobs[:6]] == [False] * 5 + [True]
    assert is_refused(newest)
    assert engine.measure_all().count(GATE) == 1


@pytest.mark.parametrize(("many", "one"), [(ADA, DOOR), (DOOR, ADA)])
def test_one_kind_of_work_never_takes_the_last_place_of_the_other(many: JobOwner, one: JobOwner) -> None:
    engine = Engine(capacity=6)
    for number in range(6):
        engine.put(JobOwner(many.kind, UUID(int=100 + number)))
    engine.put(one)
    engine.put(one)

    assert sum(map(is_refused, engine.jobs)) == 2
    assert engine.measure_all().count(one) == 2


def test_full_queue_of_callers_with_one_job_each_refuses_the_next() -> None:
    engine = Engine(capacity=3)
    for number in range(3):
        engine.put(JobOwner(JobKind.VERIFICATION, UUID(int=number)))

    with pytest.raises(BusyError):
        engine.put(JobOwner(JobKind.VERIFICATION, UUID(int=9)))
    assert not any(map(is_refused, engine.jobs))


@given(st.lists(st.tuples(st.sampled_from([ADA, BEN, DOOR, GATE, RENEWAL, None]), st.integers(1, 5)), max_size=60))
def test_every_job_ends_and_the_queue_remembers_no_one(steps: list[tuple[JobOwner | None, int]]) -> None:
    engine = Engine(capacity=5)
    for owner, images in steps:
        if owner is None:
            engine.measure_one()
            continue
        try:
            engine.put(owner, images)
        except BusyError:
            assert engine.queue.count()[0] + engine.queue.count()[1] == 5
    engine.measure_all()

    assert all(job._outcome.done() for job in engine.jobs)
    assert engine.queue.is_idle()
    assert set(engine.queue._last_turn) == set(JobKind)
    assert not engine.queue._running
