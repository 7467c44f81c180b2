"""One account asks for its documents again and again, and fills the memory for photos; the others use their rights."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.settings import MIB
from app.web.body_memory import UPLOAD_SHARE
from app.web.callers import Role
from app.web.lanes import ENROLMENTS_PER_PERSON, Lane
from tests.attacks.limited_service import SLOWER, limited_service, repeat, watching
from tests.rest.raw_http import FORM, head, part
from tests.support.launcher import HANG_S, Program
from tests.support.service_fixture import Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

RECEIPTS = 100
DOCUMENTS = 45
"""Documents that the attacker asks for at once."""
REQUESTS = 15


def with_receipts(person: Person, count: int) -> Person:
    """Let *person* have so many receipts."""
    for _ in range(count // 2):
        person("PUT", "/v1/me/restriction")
        person("DELETE", "/v1/me/restriction")
    return person


def asked(person: Person, path: str) -> socket.socket:
    """Send a request and read nothing."""
    url = person.client.base_url
    connection = socket.create_connection((url.host, url.port))
    connection.sendall(head("GET", path, {"Authorization": f"Bearer {person.token}"}))
    return connection


def rest(connection: socket.socket) -> bytes:
    """Read to the end of a chunked answer."""
    received = b""
    while not received.endswith(b"\r\n0\r\n\r\n"):
        received += connection.recv(1 << 16)
    return received


@contextmanager
def document_in_progress(service: RunningService, person: Person) -> Iterator[Lane]:
    """Hold the person's turn for documents, as one that its client reads slowly does. Gives the lane."""
    lane, caller = service.lanes.documents, UUID(person.subject_id)
    lane._running[caller] += 1
    yield lane
    loop = lane._waiting[caller][0].get_loop()
    loop.call_soon_threadsafe(lane._end_turn, caller)


def test_documents_of_one_person_wait_without_a_thread_and_are_all_answered(service: RunningService) -> None:
    ada, ben = with_receipts(service.person(), 20), service.person()
    paths = ("/v1/me/access", "/v1/me/export", "/v1/me/receipts")
    with ThreadPoolExecutor(20) as threads:
        with document_in_progress(service, ada) as lane:
            waiting = [threads.submit(ada, "GET", path) for path in paths * 4]
            wait_until(lambda: lane.waiting() == len(waiting))
            others = [ben("GET", path).status_code for path in paths]
            own = [ada("GET", "/v1/me"), ada("PUT", "/v1/me/restriction"), service.client.get("/livez")]
            in_use = service.lanes.document_threads.borrowed_tokens
            still_waiting = lane.waiting()
        answers = [answer.result().status_code for answer in waiting]

    assert (others, [answer.status_code for answer in own]) == ([200] * 3, [200] * 3)
    assert (in_use, still_waiting) == (0, len(waiting))
    assert answers == [200] * len(waiting)
    wait_until(lambda: not lane._running)


def test_client_that_leaves_leaves_the_queue(service: RunningService) -> None:
    ada = service.person()
    with document_in_progress(service, ada) as lane:
        left = [asked(ada, "/v1/me/access") for _ in range(5)]
        stays = asked(ada, "/v1/me/export")
        wait_until(lambda: lane.waiting() == 6)
        for connection in left:
            connection.close()
        wait_until(lambda: lane.waiting() == 1)
    with stays:
        answer = rest(stays)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    wait_until(lambda: not lane._running)


def test_token_that_ends_while_its_request_waits_gets_no_document(service: RunningService) -> None:
    ada = service.person()
    added = ada("POST", "/v1/me/tokens").json()
    lost = Person(service.client, ada.subject_id, added["access_token"], "")
    paths = ("/v1/me/access", "/v1/me/export", "/v1/me/receipts")
    with ThreadPoolExecutor(len(paths)) as threads:
        with document_in_progress(service, ada) as lane:
            waiting = [threads.submit(lost, "GET", path) for path in paths]
            wait_until(lambda: lane.waiting() == len(paths))
            revoked = ada("DELETE", f"/v1/me/tokens/{added['token_id']}").status_code
        answers = [answer.result().status_code for answer in waiting]

    assert (revoked, answers) == (204, [401] * 3)


def test_invalid_token_never_queues(service: RunningService) -> None:
    ada = service.person()
    stranger = Person(service.client, ada.subject_id, ada.token[:-1] + "x", "")
    with document_in_progress(service, ada) as lane:
        own = asked(ada, "/v1/me/access")
        wait_until(lambda: lane.waiting() == 1)
        answers = [stranger("GET", "/v1/me/export").status_code for _ in range(3)]
        waiting = lane.waiting()
    own.close()

    assert (answers, waiting) == ([401] * 3, 1)


def incomplete_upload(service: RunningService, path: str, token: str, size: int) -> socket.socket:
    """Send a request with a photo without its end, as far as the service reads it."""
    url = service.client.base_url
    connection = socket.create_connection((url.host, url.port))
    headers = {**FORM, "Authorization": f"Bearer {token}", "Content-Length": str(size + 10_000)}
    threading.Thread(target=_send, args=(connection, head("POST", path, headers), size), daemon=True).start()
    return connection


def _send(connection: socket.socket, request: bytes, size: int) -> None:
    with suppress(OSError):
        connection.sendall(request + part("photos", bytes(size), filename="a.png"))


LITTLE_MEMORY: dict[str, Any] = {"bodies_memory_mib": 64, "max_enrolment_bytes": 4 * MIB, "body_gap_s": 120}
FITTING = 64 // UPLOAD_SHARE // 4
"""Uploads of almost 4 MiB that fit into one caller's share of the memory."""
MANY = FITTING + 4


def test_photos_of_one_account_leave_memory_for_photos_and_rights_of_others(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), **LITTLE_MEMORY) as service, ExitStack() as held:
        party, ada, ben = service.party(), service.person(), service.person()
        consent = service.consent(ben, party)["consent_id"]
        for _ in range(MANY):
            upload = incomplete_upload(service, "/v1/me/enrolments", ada.token, 4 * MIB - 20_000)
            held.enter_context(upload)
        lane = service.lanes.uploads[Role.PERSON]
        wait_until(lambda: lane.waiting() == MANY - ENROLMENTS_PER_PERSON)
        answers = [
            enrol(ben, [consent], [toy_photo(1)]),
            service.client.post("/v1/recoveries", json={"recovery_code": ben.recovery_code}),
        ]
        ben.token = answers[-1].json()["access_token"]
        answers += [
            ben("PATCH", "/v1/me", json={"display_name": "Ben"}),
            ada("PATCH", "/v1/me", json={"display_name": "Ada"}),
            ben("DELETE", f"/v1/me/consents/{consent}"),
        ]

    assert [answer.status_code for answer in answers] == [201, 201, 200, 200, 200]


def test_photos_of_one_relying_party_leave_memory_for_others(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), **LITTLE_MEMORY) as service, ExitStack() as held:
        person, door, consent = service.enrolled(1)
        other = service.party("Other")
        for _ in range(MANY):
            upload = incomplete_upload(service, "/v1/verifications", other.key, 4 * MIB - 20_000)
            held.enter_context(upload)
        lane = service.lanes.uploads[Role.RELYING_PARTY]
        # The others were answered 503. Those that are left hold the share.
        wait_until(lambda: lane._running.total() == FITTING)
        answers = [
            door.verify(consent["subject_ref"], toy_photo(1)),
            enrol(person, [consent["consent_id"]], [toy_photo(1)]),
        ]

    assert [answer.status_code for answer in answers] == [200, 201]


def test_enrolment_whose_client_leaves_while_it_waits_takes_its_turn_and_ends(
    service: RunningService,
) -> None:
    ada, _, consent = service.enrolled(1)
    lane = service.lanes.uploads[Role.PERSON]
    waiting = [incomplete_upload(service, "/v1/me/enrolments", ada.token, MIB) for _ in range(10)]
    wait_until(lambda: lane.waiting() == len(waiting) - ENROLMENTS_PER_PERSON)
    for connection in waiting:
        connection.shutdown(socket.SHUT_RDWR)
        connection.close()
    answer = enrol(ada, [consent["consent_id"]], [toy_photo(1)])

    assert answer.status_code == 201
    wait_until(lambda: not lane._running)


@pytest.mark.parametrize("per_caller", [1, 3])
def test_lane_gives_every_caller_their_turn(per_caller: int) -> None:
    lane = Lane(per_caller=per_caller, total=4)
    for _ in range(per_caller):
        lane._running["ada"] += 1

    assert not lane._has_turn("ada")
    assert lane._has_turn("ben")


# --- The attack on the program that an operator starts


@contextmanager
def asking_for_documents(program: Program, person: Person) -> Iterator[list[int]]:
    """Ask for many exports at once, again and again. Yields the statuses."""
    ended, statuses = threading.Event(), list[int]()

    def ask() -> None:
        with httpx.Client(base_url=program.client.base_url, timeout=HANG_S, trust_env=False) as client:
            own = Person(client, person.subject_id, person.token, person.recovery_code)
            while not ended.is_set():
                statuses.append(own("GET", "/v1/me/export").status_code)

    with ThreadPoolExecutor(DOCUMENTS) as threads:
        for _ in range(DOCUMENTS):
            threads.submit(ask)
        try:
            yield statuses
        finally:
            ended.set()


@pytest.mark.service
def test_many_exports_of_one_account_do_not_delay_the_rights_of_others(root: Path) -> None:
    with limited_service(root, MIEN_LOG_INTERVAL="1") as program:
        mallory, ben = with_receipts(program.person("Mallory"), RECEIPTS), program.person("Ben")
        requests: dict[str, Callable[[], httpx.Response]] = {
            "access": lambda: ben("GET", "/v1/me/access"),
            "summary": lambda: ben("GET", "/v1/me"),
            "restriction": lambda: ben("PUT", "/v1/me/restriction"),
            "liveness": lambda: program.client.get("/livez"),
        }
        quiet = {name: repeat(send, times=REQUESTS) for name, send in requests.items()}
        with asking_for_documents(program, mallory) as statuses, ExitStack() as stack:
            wait_until(lambda: len(statuses) > 3)
            # All at once: none may delay another either.
            watches = {name: stack.enter_context(watching(send)) for name, send in requests.items()}
            wait_until(lambda: all(len(watch.seconds) >= REQUESTS for watch in watches.values()))

    assert set(statuses) == {200}
    for name, watch in watches.items():
        assert set(watch.statuses) == {200}, name
        assert watch.median() < SLOWER * quiet[name].median(), name
