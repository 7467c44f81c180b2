"""A slow or unreachable recipient delays no other; after a crash a message is sent again, under the same id."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.callbacks import http_client
from app.callbacks.delivery_worker import DeliveryCounts, DeliveryWorker
from app.callbacks.http_client import CallResult, Outcome
from app.jobs.deliver_callbacks import delivery_worker
from app.kit.clock import utc_now
from tests.crash.process_launcher import ProcessLauncher, Spot, Trial
from tests.parties.receivers import Receiver, closed_port, deliver, never_answer, run_receiver, set_url
from tests.support.byte_scan import rows
from tests.support.launcher import run_command
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def launcher() -> ProcessLauncher:
    return ProcessLauncher()


def count_pending(root: Path) -> int:
    ((count,),) = rows(root / "data" / "mien.db", "SELECT count(*) FROM outbox")
    return int(count)


def read_state(person: Person) -> str:
    found: str = person("GET", "/v1/me/deliveries").json()["items"][0]["state"]
    return found


# --- Slow and unreachable recipients


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the time limit of a request, so that a silent recipient blocks its thread during the whole test."""
    monkeypatch.setattr(http_client, "WHOLE_S", 3600.0)


@pytest.mark.usefixtures("unlimited")
def test_slow_and_unreachable_recipients_delay_no_other(callback_service: RunningService) -> None:
    with run_receiver(never_answer) as stuck, run_receiver() as good:
        person = callback_service.person()
        for name, url in (
            ("Slow", stuck.url),
            ("Unreachable", f"http://127.0.0.1:{closed_port()}/"),
            ("Good", good.url),
        ):
            party = callback_service.party(name)
            set_url(callback_service, party, url)
            callback_service.consent(person, party)
        wait_until(lambda: good.events == ["given"])
        wait_until(lambda: len(stuck.requests) == 1)
        assert person("GET", "/v1/me/access").status_code == 200
        other, _, _ = callback_service.enrolled(face=1)
        assert other("DELETE", "/v1/me").json()["status"] == "completed"

        # The log's batch, run in the background, has short transactions of its own.
        wait_until(lambda: callback_service.vault.data.open_transactions() == 0)
        assert good.events == ["given"], "it got one message"


def test_a_recipient_gets_one_message_at_a_time(callback_service: RunningService) -> None:
    at_once: list[int] = []
    open_requests = Counter[str]()
    lock = threading.Lock()

    def behave(caller: Any) -> None:
        with lock:
            open_requests["now"] += 1
            at_once.append(open_requests["now"])
        # Time for a second message to arrive, if two were sent at once.
        time.sleep(0.05)
        caller.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        with lock:
            open_requests["now"] -= 1

    with run_receiver(behave) as receiver:
        party = callback_service.party()
        set_url(callback_service, party, receiver.url)
        for name in "ABCDE":
            callback_service.consent(callback_service.person(name), party)
        wait_until(lambda: len(receiver.messages) == 5 and count_pending(callback_service.root) == 0)

    assert set(at_once) == {1}


@pytest.mark.usefixtures("unlimited")
def test_stopping_waits_for_no_recipient(root: Path, pool: SharedPool) -> None:
    with run_receiver(never_answer) as stuck, serving(root, pool, toy_card(), callback_private=True) as service:
        party = service.party()
        set_url(service, party, stuck.url)
        service.consent(service.person(), party)
        wait_until(lambda: len(stuck.requests) == 1)

    assert count_pending(root) == 1, "a message being sent counts as not sent"


# --- Killed


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as one:
        yield one


@pytest.fixture
def door(root: Path, pool: SharedPool, receiver: Receiver) -> Party:
    with serving(root, pool, toy_card()) as service:
        party = service.party()
        set_url(service, party, receiver.url)
    return party


def give_consent(client: httpx.Client, party: Party) -> None:
    """Register a person who consents, at a service that may be killed meanwhile."""
    account = client.post("/v1/subjects", json={"declared_adult": True}).json()
    notices = {one["purpose"]: one["sha256"] for one in client.get("/v1/notices").json()["items"]}
    body = {"purpose": "verification", "relying_party_id": party.id, "notice_sha256": notices["verification"]}
    client.post("/v1/me/consents", json=body, headers={"Authorization": f"Bearer {account['access_token']}"})


DELIVERY = "delivering callbacks"


@pytest.mark.parametrize(
    ("kill_at", "sent_before", "sent"),
    [
        (Spot("consent", "mien.db committed"), 0, 1),
        (Spot(DELIVERY, "mien.db written"), 0, 1),
        (Spot(DELIVERY, "mien.db committed"), 0, 1),
        (Spot(DELIVERY, "mien.db written", 2), 1, 2),
        (Spot(DELIVERY, "mien.db committed", 2), 1, 1),
    ],
    ids=[
        "before it is sent",
        "before the try is counted",
        "after the try is counted",
        "before its result is recorded",
        "after it is recorded",
    ],
)
def test_after_a_crash_the_message_is_sent_at_least_once_under_one_id(
    launcher: ProcessLauncher,
    root: Path,
    pool: SharedPool,
    receiver: Receiver,
    door: Party,
    kill_at: Spot,
    sent_before: int,
    sent: int,
) -> None:
    trial = Trial(root, datetime.now(UTC), kill_at=kill_at)
    with launcher.service(trial, callback_private=True) as process:
        try:
            give_consent(process.client, door)
        except httpx.TransportError:
            assert kill_at.operation == "consent"
        process.killed()
    assert len(receiver.messages) == sent_before
    with serving(root, pool, toy_card(), callback_private=True):
        wait_until(lambda: count_pending(root) == 0)

    assert receiver.events == ["given"] * sent
    assert len({one["jti"] for one in receiver.messages}) == 1


def test_after_a_crash_before_the_commit_no_message_is_sent(
    launcher: ProcessLauncher, root: Path, pool: SharedPool, receiver: Receiver, door: Party
) -> None:
    trial = Trial(root, datetime.now(UTC), kill_at=Spot("consent", "mien.db written"))
    with launcher.service(trial, callback_private=True) as process:
        with pytest.raises(httpx.TransportError):
            give_consent(process.client, door)
        process.killed()
    with serving(root, pool, toy_card(), callback_private=True, background=False) as service:
        deliver(delivery_worker(service.settings, service.vault, clock=service.clock))

    assert (receiver.messages, count_pending(root)) == ([], 0)


# --- Workers without a service


def make_worker(service: RunningService, outcome: Outcome, *, sent: list[str], **moved: float) -> DeliveryWorker:
    def call(_to: str, body: str) -> CallResult:
        sent.append(body)
        return CallResult(outcome, "stub")

    return DeliveryWorker(service.vault, call, days=7, clock=lambda: utc_now() + timedelta(**moved))


def test_an_unreachable_recipient_is_tried_once_and_not_once_for_each_message(service: RunningService) -> None:
    party = service.party()
    with run_receiver() as receiver:
        set_url(service, party, receiver.url)
    sent: list[str] = []
    for name in "ABC":
        service.consent(service.person(name), party)
    found = make_worker(service, Outcome.UNREACHABLE, sent=sent).run_once(within_s=120)

    assert found == DeliveryCounts(messages_acknowledged=0, messages_pending=3)
    assert len(sent) == 1


def test_several_workers_at_once_lose_no_message(service: RunningService) -> None:
    """Without the lock of the job a message may be sent twice, under one id; it is settled once."""
    party = service.party()
    with run_receiver() as receiver:
        set_url(service, party, receiver.url)
    people = [service.person(name) for name in "ABCDEF"]
    for person in people:
        service.consent(person, party)
    sent: list[str] = []
    workers = [make_worker(service, Outcome.ACKNOWLEDGED, sent=sent) for _ in range(3)]
    threads = [threading.Thread(target=one.run_once, kwargs={"within_s": 120}) for one in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count_pending(service.root) == 0
    assert [read_state(person) for person in people] == ["acknowledged"] * 6
    assert len(sent) >= 6


def test_a_worker_that_has_lost_its_lock_sends_no_further_message(service: RunningService) -> None:
    party = service.party()
    with run_receiver() as receiver:
        set_url(service, party, receiver.url)
    for name in "ABC":
        service.consent(service.person(name), party)
    sent: list[str] = []
    held: list[str] = ["lock"]

    def call(_to: str, body: str) -> CallResult:
        sent.append(body)
        held.clear()
        return CallResult(Outcome.ACKNOWLEDGED, "stub")

    worker = DeliveryWorker(service.vault, call, days=7, clock=service.clock)
    worker.start_due(held)  # type: ignore[arg-type]  # an empty list is false, as a lost lock
    worker.wait(within_s=120)

    # The process with the lock sends the first one again, under the same id.
    assert (len(sent), count_pending(service.root)) == (1, 3)


def test_a_stopped_worker_writes_nothing(service: RunningService) -> None:
    party = service.party()
    with run_receiver() as receiver:
        set_url(service, party, receiver.url)
    called, go_on = threading.Event(), threading.Event()

    def call(_to: str, _body: str) -> CallResult:
        called.set()
        go_on.wait(120)
        return CallResult(Outcome.ACKNOWLEDGED, "204")

    worker = DeliveryWorker(service.vault, call, days=7, clock=service.clock)
    service.consent(service.person(), party)
    worker.start_due()
    assert called.wait(120)
    worker.stop()
    go_on.set()
    deliver(worker)

    assert count_pending(service.root) == 1


def test_a_clock_that_is_set_back_delays_no_message(service: RunningService) -> None:
    party = service.party()
    with run_receiver() as receiver:
        set_url(service, party, receiver.url)
    moved, sent = timedelta(days=30), []

    def call(_to: str, body: str) -> CallResult:
        sent.append(body)
        return CallResult(Outcome.ANSWERED, "503")

    worker = DeliveryWorker(service.vault, call, days=365, clock=lambda: utc_now() + moved)
    service.consent(service.person(), party)
    deliver(worker)
    assert len(sent) == 1
    moved = timedelta()
    deliver(worker)
    worker.stop()

    assert len(sent) == 2


# --- The commands


def test_the_command_sweep_tries_every_message_once(
    root: Path, pool: SharedPool, receiver: Receiver, door: Party
) -> None:
    with serving(root, pool, toy_card()) as service:
        give_consent(service.client, door)
        # The service may not call this machine, so the try fails.
        wait_until(lambda: rows(in_file(service.vault.data).path, "SELECT attempts FROM outbox") == [(1,)])
    assert receiver.messages == []
    done = run_command(root, "sweep", "--json", MIEN_CALLBACK_PRIVATE="true")
    again = run_command(root, "sweep", "--json", MIEN_CALLBACK_PRIVATE="true")

    assert '"messages_acknowledged": 1, "messages_pending": 0' in done.stdout, done.stderr
    assert '"messages_acknowledged": 0, "messages_pending": 0' in again.stdout
    assert receiver.events == ["given"]
    assert UUID(receiver.messages[0]["jti"])


def test_the_application_log_contains_neither_reference_nor_url(
    root: Path, pool: SharedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(root, pool, toy_card(), callback_private=True) as service:
        party = service.party()
        set_url(service, party, f"http://127.0.0.1:{closed_port()}/canary-path?canary-query")
        consent = service.consent(service.person(), party)
        written = ""

        def is_logged() -> bool:
            nonlocal written
            written += "".join(capsys.readouterr())
            return "callback unreachable" in written

        wait_until(is_logged)
    written += "".join(capsys.readouterr())

    assert consent["subject_ref"] not in written
    assert "canary" not in written
