"""The pool: right answers under load, no image without a permit, and no call that waits for ever."""

import dataclasses
import io
import os
import subprocess
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from app.faces.flaws import Flaw
from app.faces.permit import ImageStatement, Permit, PhotoUse
from app.faces.workers.messages import Measurement, MeasureRequest
from app.faces.workers.pool import EnginePool
from app.faces.workers.process import WorkerProcess
from app.faces.workers.queue import Job
from app.kit.errors import BusyError
from tests.faces.conftest import MakePool, distance
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import PEOPLE, crashing_photo, exhausting_photo, slow_photo, toy_photo
from tests.support.waiting import wait_until


def _workers(pool: EnginePool) -> list[psutil.Process]:
    workers = [supervisor._worker for supervisor in pool._supervisors]
    return [psutil.Process(worker._process.pid) for worker in workers if worker is not None]


def test_the_same_person_is_near_and_another_far(toy_pool: EnginePool, permit: Permit) -> None:
    one, again, other = toy_pool.measure(permit, [toy_photo(1), toy_photo(1, variant=5), toy_photo(2)])

    assert 0 < distance(one, again) < 0.54
    assert distance(one, other) > 0.6


def test_photos_of_toy_people_pass_the_quality_checks_in_every_format(toy_pool: EnginePool, permit: Permit) -> None:
    photos = [toy_photo(person) for person in range(PEOPLE)]
    photos += [toy_photo(person, format=form) for person in (0, 9) for form in ("JPEG", "WEBP")]

    assert all(isinstance(answer, Measurement) for answer in toy_pool.measure(permit, photos))


def test_the_answers_are_in_the_order_of_the_images(toy_pool: EnginePool, permit: Permit) -> None:
    answers = toy_pool.measure(permit, [b"GIF89a", toy_photo(), toy_photo(3), toy_photo(3, 4), exhausting_photo()])
    codes = [answer if isinstance(answer, Flaw) else None for answer in answers]

    assert codes == [Flaw.UNSUPPORTED, Flaw.NO_FACE, None, Flaw.SEVERAL_FACES, Flaw.BROKEN]


def test_no_images_are_no_answers(toy_pool: EnginePool, permit: Permit) -> None:
    assert toy_pool.measure(permit, []) == []


def test_an_image_larger_than_any_frame_is_refused(toy_pool: EnginePool, permit: Permit) -> None:
    answers = toy_pool.measure(permit, [bytes(17 * 1024 * 1024), toy_photo(0)])

    assert answers[0] == Flaw.BROKEN
    assert isinstance(answers[1], Measurement)


@pytest.mark.parametrize("not_a_permit", [None, object(), "permit", ()])
def test_without_a_permit_no_byte_reaches_a_worker(
    toy_pool: EnginePool, monkeypatch: pytest.MonkeyPatch, not_a_permit: Permit
) -> None:
    sent: list[MeasureRequest] = []
    monkeypatch.setattr(WorkerProcess, "measure", lambda _, request, **_options: sent.append(request))

    with pytest.raises(TypeError):
        toy_pool.measure(not_a_permit, [toy_photo(0)])
    assert sent == []


def test_a_photo_comes_back_only_for_a_permit_that_keeps_photos(
    toy_pool: EnginePool, permit: Permit, keeping_permit: Permit
) -> None:
    (without,) = toy_pool.measure(permit, [toy_photo(0)])
    (kept,) = toy_pool.measure(keeping_permit, [toy_photo(0, size=(2000, 1500))])
    assert isinstance(without, Measurement)
    assert isinstance(kept, Measurement)
    assert kept.photo is not None
    photo = Image.open(io.BytesIO(kept.photo))

    assert without.photo is None
    assert (photo.format, photo.size) == ("JPEG", (1280, 960))


def test_a_hundred_calls_from_twenty_threads_get_their_own_answers(toy_pool: EnginePool, permit: Permit) -> None:
    expected = toy_pool.measure(permit, [toy_photo(person) for person in range(20)])

    def call(number: int) -> bool:
        if number % 5 == 4:
            return toy_pool.measure(permit, [toy_photo(1, 2), b"no"]) == [
                Flaw.SEVERAL_FACES,
                Flaw.UNSUPPORTED,
            ]
        people = (number % 20, number * 7 % 20)
        return toy_pool.measure(permit, [toy_photo(person) for person in people]) == [
            expected[person] for person in people
        ]

    with ThreadPoolExecutor(20) as threads:
        right = list(threads.map(call, range(100)))

    assert right == [True] * 100


def test_a_call_beyond_the_queue_is_refused_at_once(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(workers=1, queue=1, timeout_s=3600)
    pool.measure(permit, [toy_photo(0)])
    (worker,) = _workers(pool)
    worker.suspend()
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(pool.measure, permit, [toy_photo(0)]) for _ in range(2)]
        wait_until(lambda: pool._queue.count() == (1, 1))

        with pytest.raises(BusyError) as refused:
            pool.measure(permit, [toy_photo(0)])
        assert not any(call.done() for call in running), "no wait for the queue"
        worker.resume()
        assert (refused.value.status, list(refused.value.headers)) == (503, ["Retry-After"])
        assert all(isinstance(call.result()[0], Measurement) for call in running)


def test_calls_made_while_the_workers_start_are_answered(make_pool: MakePool, permit: Permit) -> None:
    assert isinstance(make_pool().measure(permit, [toy_photo(0)])[0], Measurement)


def test_a_worker_over_its_time_is_killed_and_replaced(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(timeout_s=2)
    pool.measure(permit, [toy_photo(0)])
    (late,) = _workers(pool)

    with pytest.raises(BusyError):
        pool.measure(permit, [slow_photo(20)])
    assert isinstance(pool.measure(permit, [toy_photo(0)])[0], Measurement)
    assert not late.is_running()


def test_the_time_limit_is_for_each_image(make_pool: MakePool, permit: Permit) -> None:
    answers = make_pool(timeout_s=2.5).measure(permit, [slow_photo(1)] * 3)

    assert all(isinstance(answer, Measurement) for answer in answers)


def test_the_next_worker_finishes_the_job_of_a_dead_one(
    make_pool: MakePool, permit: Permit, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make_pool()
    pool.measure(permit, [toy_photo(0)])
    answered, add_answer = threading.Event(), Job.add_answer

    def note_answer(job: Job, answer: Measurement | Flaw) -> None:
        add_answer(job, answer)
        answered.set()

    monkeypatch.setattr(Job, "add_answer", note_answer)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(pool.measure, permit, [toy_photo(1), slow_photo(0.5), toy_photo(2)])
        answered.wait(120)
        _workers(pool)[0].kill()

        assert [isinstance(answer, Measurement) for answer in call.result()] == [True] * 3


def test_an_image_that_kills_two_workers_is_refused(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool()

    with pytest.raises(BusyError):
        pool.measure(permit, [crashing_photo()])
    assert isinstance(pool.measure(permit, [toy_photo(0)])[0], Measurement)


def test_an_idle_worker_that_dies_is_replaced(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool()
    pool.measure(permit, [toy_photo(0)])
    (dead,) = _workers(pool)
    dead.kill()

    wait_until(lambda: not dead.is_running() and pool.status().workers == 1)


def test_an_image_that_exceeds_the_memory_limit_is_broken(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(memory_bytes=320 << 20)
    out = io.BytesIO()
    Image.new("RGBA", (5000, 5000), (200, 120, 90, 200)).save(out, "PNG", compress_level=1)
    answers = pool.measure(permit, [out.getvalue(), toy_photo(0)])

    assert answers[0] == Flaw.BROKEN
    assert isinstance(answers[1], Measurement)


def test_weights_of_another_hash_do_not_load(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(card=dataclasses.replace(toy_card(), digests={"toy_engine.py": "0" * 64}))

    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])
    status = pool.status()
    assert (status.ready, status.weights_verified) == (False, False)
    assert status.reason == "a file of the engine's weights is not the one on its card"


@pytest.mark.parametrize("changes", [{"engine": "tests.no_such:Engine"}, {"memory_bytes": 16 << 20}])
def test_a_pool_that_cannot_start_has_a_reason_and_refuses(
    make_pool: MakePool, permit: Permit, changes: dict[str, object]
) -> None:
    pool = make_pool(**changes)

    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])
    assert not pool.status().ready
    assert pool.status().reason is not None
    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])


def test_an_engine_that_is_not_the_one_on_the_card_is_refused(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(card=dataclasses.replace(toy_card(), id="another"))

    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])
    assert pool.status().reason == "the engine is not the one on its card"


def test_status_goes_from_starting_to_ready_to_closed(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    first = pool.status()
    wait_until(lambda: pool.status().workers == 2)
    serving = pool.status()
    pool.close()

    assert (first.ready, first.sandbox, first.reason) == (False, "unknown", "the workers are starting")
    assert (serving.ready, serving.engine, serving.weights_verified, serving.reason) == (True, "toy", True, None)
    assert (pool.status().ready, pool.status().reason) == (False, "closed")


def test_closing_finishes_running_calls_and_refuses_waiting_ones(make_pool: MakePool, permit: Permit) -> None:
    pool = make_pool(workers=1, queue=2)
    pool.measure(permit, [toy_photo(0)])
    with ThreadPoolExecutor(2) as threads:
        running = threads.submit(pool.measure, permit, [slow_photo(0.6)])
        wait_until(lambda: pool._queue._running.total() == 1)
        waiting = threads.submit(pool.measure, permit, [toy_photo(0)])
        wait_until(lambda: len(pool._queue._waiting) == 1)
        pool.close()

        assert isinstance(running.result()[0], Measurement)
        with pytest.raises(BusyError):
            waiting.result()
    with pytest.raises(BusyError):
        pool.measure(permit, [toy_photo(0)])


def test_closing_during_the_start_leaves_no_process_and_no_thread(make_pool: MakePool) -> None:
    pool = make_pool(workers=2)
    wait_until(lambda: bool(_workers(pool)))
    started = _workers(pool)
    pool.close()

    assert not [worker for worker in started if worker.is_running()]
    assert not [thread for thread in threading.enumerate() if thread in pool._supervisors]


def test_pools_and_lost_workers_leave_no_descriptor_open(make_pool: MakePool, permit: Permit) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    pool = make_pool(workers=2)
    for _ in range(2):
        with pytest.raises(BusyError):
            pool.measure(permit, [crashing_photo()])
    pool.measure(permit, [toy_photo(0)])
    pool.close()

    assert count() == before


@pytest.mark.service
def test_the_service_itself_loads_neither_an_engine_nor_a_decoder() -> None:
    code = (
        "import sys, app.faces.workers.pool; print({'dlib', 'face_recognition', 'PIL', 'pyseccomp'} & set(sys.modules))"
    )
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "set()"


def test_images_of_an_evaluation_need_a_statement_and_keep_no_photo(toy_pool: EnginePool) -> None:
    photo = toy_photo(1)
    permit: Any = Permit(grant_ids=(uuid.uuid4(),), keeps_photos=True)
    statement: Any = ImageStatement(origin="drawn for a test", agreed="yes")

    (measured,) = toy_pool.measure_for_evaluation(statement, [photo], PhotoUse.PROBE)

    assert isinstance(measured, Measurement)
    assert measured.photo is None
    not_statements: list[Any] = [object(), permit, "drawn for a test"]
    for not_a_statement in not_statements:
        with pytest.raises(TypeError, match="no statement, no pixels"):
            toy_pool.measure_for_evaluation(not_a_statement, [photo], PhotoUse.PROBE)
    with pytest.raises(TypeError, match="no permit, no pixels"):
        toy_pool.measure(statement, [photo])
    for blank in ("", "  \n"):
        with pytest.raises(ValueError, match="the statement is empty"):
            ImageStatement(origin=blank, agreed="yes")
