"""A recipient that is slow or dead is nobody else's trouble, and a process that dies tells again under the same id."""

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
from app.kit.clock import utc_now
from tests.crash.process_launcher import ProcessLauncher, Spot, Trial
from tests.parties.receivers import Receiver, call_back, closed_port, receiving, slow, until
from tests.support.byte_scan import rows
from tests.support.launcher import run_command
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card


@pytest.fixture(scope="module")
def launcher() -> ProcessLauncher:
    return ProcessLauncher()


def pending(root: Path) -> int:
    ((count,),) = rows(root / "data" / "mien.db", "SELECT count(*) FROM outbox")
    return int(count)


def state(person: Person) -> str:
    found: str = person("GET", "/v1/me/deliveries").json()["items"][0]["state"]
    return found


# --- Slow, dead


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call last until the recipient answers: a test that waits for a silent one does not end."""
    monkeypatch.setattr(http_client, "WHOLE_S", 3600.0)


@pytest.mark.usefixtures("unlimited")
def test_slow_and_dead_recipients_hold_up_nobody(telling: RunningService) -> None:
    with receiving(slow) as stuck, receiving() as good:
        person = telling.person()
        for name, url in (
            ("Slow", stuck.url),
            ("Dead", f"http://127.0.0.1:{closed_port()}/"),
            ("Good", good.url),
        ):
            party = telling.party(name)
            call_back(telling, party, url)
            telling.consent(person, party)
        until(lambda: good.events == ["given"])
        until(lambda: len(stuck.requests) == 1)
        assert person("GET", "/v1/me/access").status_code == 200
        other, _, _ = telling.enrolled(face=1)
        assert other("DELETE", "/v1/me").json()["status"] == "completed"

        assert telling.vault.data.open_transactions() == 0
        assert good.events == ["given"], "and it is told once"


def test_one_recipient_is_sent_one_message_at_a_time(telling: RunningService) -> None:
    at_once: list[int] = []
    here = Counter[str]()
    lock = threading.Lock()

    def behave(caller: Any) -> None:
        with lock:
            here["now"] += 1
            at_once.append(here["now"])
        time.sleep(0.05)
        caller.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        with lock:
            here["now"] -= 1

    with receiving(behave) as receiver:
        party = telling.party()
        call_back(telling, party, receiver.url)
        for name in "ABCDE":
            telling.consent(telling.person(name), party)
        until(lambda: len(receiver.told) == 5 and pending(telling.root) == 0)

    assert set(at_once) == {1}


@pytest.mark.usefixtures("unlimited")
def test_stopping_waits_for_no_recipient(root: Path, pool: SharedPool) -> None:
    with receiving(slow) as stuck, serving(root, pool, toy_card(), callback_private=True) as service:
        party = service.party()
        call_back(service, party, stuck.url)
        service.consent(service.person(), party)
        until(lambda: len(stuck.requests) == 1)

    assert pending(root) == 1, "what was being sent counts as not sent"


# --- Killed


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def door(root: Path, pool: SharedPool, receiver: Receiver) -> Party:
    with serving(root, pool, toy_card()) as service:
        party = service.party()
        call_back(service, party, receiver.url)
    return party


def given_in(client: httpx.Client, party: Party) -> None:
    """Let somebody consent, at a service that may die meanwhile."""
    given = client.post("/v1/subjects", json={"declared_adult": True}).json()
    notices = {one["purpose"]: one["sha256"] for one in client.get("/v1/notices").json()["items"]}
    body = {"purpose": "verification", "relying_party_id": party.id, "notice_sha256": notices["verification"]}
    client.post("/v1/me/consents", json=body, headers={"Authorization": f"Bearer {given['access_token']}"})


TELLING = "telling a relying party"


@pytest.mark.parametrize(
    ("deadly", "sent_before", "sent"),
    [
        (Spot("consent", "mien.db committed"), 0, 1),
        (Spot(TELLING, "mien.db written"), 0, 1),
        (Spot(TELLING, "mien.db committed"), 0, 1),
        (Spot(TELLING, "mien.db written", 2), 1, 2),
        (Spot(TELLING, "mien.db committed", 2), 1, 1),
    ],
    ids=["before it is sent", "before the try is counted", "after that", "before its outcome", "after that too"],
)
def test_killed_anywhere_it_is_told_at_least_once_and_under_one_id(
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
            given_in(process.client, door)
        except httpx.TransportError:
            assert kill_at.operation == "consent"
        process.killed()
    assert len(receiver.told) == sent_before
    with serving(root, pool, toy_card(), callback_private=True):
        until(lambda: pending(root) == 0)

    assert receiver.events == ["given"] * sent
    assert len({one["jti"] for one in receiver.told}) == 1


def test_killed_before_the_act_commits_nobody_is_told(
    launcher: ProcessLauncher, root: Path, pool: SharedPool, receiver: Receiver, door: Party
) -> None:
    trial = Trial(root, datetime.now(UTC), kill_at=Spot("consent", "mien.db written"))
    with launcher.service(trial, callback_private=True) as process:
        with pytest.raises(httpx.TransportError):
            given_in(process.client, door)
        process.killed()
    with serving(root, pool, toy_card(), callback_private=True):
        time.sleep(0.5)

    assert (receiver.told, pending(root)) == ([], 0)


# --- Alone


def courier(service: RunningService, outcome: Outcome, *, sent: list[str], **moved: float) -> DeliveryWorker:
    def call(_to: str, body: str) -> CallResult:
        sent.append(body)
        return CallResult(outcome, "stub")

    return DeliveryWorker(service.vault, call, days=7, clock=lambda: utc_now() + timedelta(**moved))


def test_unreachable_recipient_is_tried_once_and_not_once_for_each_message(service: RunningService) -> None:
    party = service.party()
    with receiving() as receiver:
        call_back(service, party, receiver.url)
    sent: list[str] = []
    for name in "ABC":
        service.consent(service.person(name), party)
    found = courier(service, Outcome.UNREACHABLE, sent=sent).run_once(within_s=120)

    assert found == DeliveryCounts(messages_acknowledged=0, messages_pending=3)
    assert len(sent) == 1


def test_two_couriers_at_once_lose_nothing(service: RunningService) -> None:
    """As `mien sweep` beside the service: a message may be sent twice, under one id, and is settled once."""
    party = service.party()
    with receiving() as receiver:
        call_back(service, party, receiver.url)
    people = [service.person(name) for name in "ABCDEF"]
    for person in people:
        service.consent(person, party)
    sent: list[str] = []
    couriers = [courier(service, Outcome.ACKNOWLEDGED, sent=sent) for _ in range(3)]
    threads = [threading.Thread(target=one.run_once, kwargs={"within_s": 120}) for one in couriers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert pending(service.root) == 0
    assert [state(person) for person in people] == ["acknowledged"] * 6
    assert len(sent) >= 6


def finish_calls(worker: DeliveryWorker) -> None:
    """Wait until the calls under way are answered and the outcome is written."""
    for thread in list(worker._threads.values()):
        thread.join()


def test_after_it_was_stopped_nothing_is_written(service: RunningService) -> None:
    party = service.party()
    with receiving() as receiver:
        call_back(service, party, receiver.url)
    called, go_on = threading.Event(), threading.Event()

    def call(_to: str, _body: str) -> CallResult:
        called.set()
        go_on.wait(120)
        return CallResult(Outcome.ACKNOWLEDGED, "204")

    one = DeliveryWorker(service.vault, call, days=7, clock=service.clock)
    service.consent(service.person(), party)
    one.start_due()
    assert called.wait(120)
    one.stop()
    go_on.set()
    finish_calls(one)
    one.start_due()

    assert pending(service.root) == 1


def test_clock_that_was_set_back_stops_nothing(service: RunningService) -> None:
    party = service.party()
    with receiving() as receiver:
        call_back(service, party, receiver.url)
    moved, sent = timedelta(days=30), []

    def call(_to: str, body: str) -> CallResult:
        sent.append(body)
        return CallResult(Outcome.ANSWERED, "503")

    one = DeliveryWorker(service.vault, call, days=365, clock=lambda: utc_now() + moved)
    service.consent(service.person(), party)
    one.start_due()
    until(lambda: len(sent) == 1)
    finish_calls(one)
    moved = timedelta()
    one.start_due()
    until(lambda: len(sent) == 2)
    one.stop()


# --- The commands


def test_the_command_sweep_does_one_round(root: Path, pool: SharedPool, receiver: Receiver, door: Party) -> None:
    with serving(root, pool, toy_card()) as service:
        # Not allowed to call this machine: it stays to be told.
        given_in(service.client, door)
        time.sleep(0.3)
    assert receiver.told == []
    done = run_command(root, "sweep", "--json", MIEN_CALLBACK_PRIVATE="true")
    again = run_command(root, "sweep", "--json", MIEN_CALLBACK_PRIVATE="true")

    assert '"messages_acknowledged": 1, "messages_pending": 0' in done.stdout, done.stderr
    assert '"messages_acknowledged": 0, "messages_pending": 0' in again.stdout
    assert receiver.events == ["given"]
    assert UUID(receiver.told[0]["jti"])


def test_the_log_of_the_service_names_neither_reference_nor_address(
    root: Path, pool: SharedPool, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(root, pool, toy_card(), callback_private=True) as service:
        party = service.party()
        call_back(service, party, f"http://127.0.0.1:{closed_port()}/canary-path?canary-query")
        consent = service.consent(service.person(), party)
        written = ""

        def is_logged() -> bool:
            nonlocal written
            written += "".join(capsys.readouterr())
            return "callback unreachable" in written

        until(is_logged)
    written += "".join(capsys.readouterr())

    assert consent["subject_ref"] not in written
    assert "canary" not in written
