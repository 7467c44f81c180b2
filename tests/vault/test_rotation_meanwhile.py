"""A rotation beside a running service fails no request and loses no key."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from app.vault import rotation
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.rotation import RotationResult, rotate
from app.vault.seal import KEY_BYTES, Kek
from tests.comparisons.failures import unhindered
from tests.support.byte_scan import rows
from tests.support.launcher import refused, run_command, run_here
from tests.support.service_fixture import Person, RunningService, SharedPool, enrol, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

ROTATIONS = 6
THREADS = 4
PAUSE_S = 0.02
"""Seconds between two uses of the register by one thread: SQLite has no queue, so busy threads starve the rotation."""


def run_beside(work: Callable[[], None], others: Callable[[int], None], threads: int = THREADS) -> None:
    """Do *work* while threads repeat *others*. Raises the first error of any of them."""
    stopped = threading.Event()

    def repeat(number: int) -> None:
        while not stopped.is_set():
            others(number)

    with ThreadPoolExecutor(threads) as executor:
        running = [executor.submit(repeat, number) for number in range(threads)]
        try:
            work()
        finally:
            stopped.set()
    for thread in running:
        thread.result()


def test_key_issued_during_a_rotation_is_never_under_a_destroyed_one(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rotation has its own connection and its own keys, like the command beside the service."""
    monkeypatch.setattr(rotation, "BATCH", 64)
    service = open_vault(settings_for(root))
    issued: list[tuple[Owner, bytes]] = []
    ids = set()

    def rotations() -> None:
        for _ in range(ROTATIONS):
            command = open_vault(settings_for(root))
            with closing(command.data), closing(command.register.store):
                ids.add(rotate(command.register).kek_id)

    def use_register(number: int) -> None:
        owner = Owner.subject(uuid4())
        service.register.issue(owner)
        issued.append((owner, service.register.key(owner).seal(b"kept", "here")))
        # An older key too, which the rotation may be rewrapping.
        older, sealed = issued[len(issued) * number // THREADS]
        assert service.register.key(older).open(sealed, "here") == b"kept"
        if number == 0:
            service.register.check_origin()
        time.sleep(PAUSE_S)

    with closing(service.data), closing(service.register.store):
        run_beside(rotations, use_register)

        assert (len(ids), len(issued) > ROTATIONS * 4) == (ROTATIONS, True)
        assert all(service.register.key(owner).open(sealed, "here") == b"kept" for owner, sealed in issued)
    named = {
        kek_id
        for (kek_id,) in rows(
            root / "keys" / "register.db", "SELECT DISTINCT kek_id FROM keys WHERE wrapped <> zeroblob(60)"
        )
    }
    assert len(named - ids) == 0
    assert len(named) <= 2, "the last one, and one under which keys were issued since"


def test_key_is_read_again_if_a_rotation_ends_between_reading_and_opening(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A readiness check in between made the service forget the old key-encryption key."""
    service, command = (open_vault(settings_for(root)) for _ in range(2))
    owner = Owner.subject(uuid4())
    service.register.issue(owner)
    sealed = service.register.key(owner).seal(b"kept", "here")
    found = service.register.keks.get
    late: list[RotationResult] = []

    def get(kek_id: str) -> Kek:
        if not late:
            late.append(rotate(command.register))
            service.register.keks.reload()
        return found(kek_id)

    monkeypatch.setattr(service.register.keks, "get", get)
    for vault in (service, command):
        with closing(vault.data), closing(vault.register.store):
            assert vault.register.key(owner).open(sealed, "here") == b"kept"
    assert late


def test_running_service_answers_every_request_during_rotations(service: RunningService) -> None:
    """Subjects enrol, are compared, read and withdraw while the command rotates, in a process of its own."""
    door = service.party()
    stay, _, consent = service.enrolled(face=3, party=door)
    answers: Counter[int] = Counter()
    told: list[dict[str, object]] = []

    def count(answer: httpx.Response, *expected: int) -> httpx.Response:
        answers[answer.status_code] += 1
        assert answer.status_code in expected, answer.text
        return answer

    def rotations() -> None:
        while len(told) < 2 or answers[200] < 12:
            done = run_command(service.root, "keys", "rotate", "--json")
            assert done.returncode == 0, done.stderr
            told.append(json.loads(done.stdout))

    unhindered(service)

    def use_service(number: int) -> None:
        person = service.person(f"Number {number}")
        given = service.consent(person, door)
        count(enrol(person, [given["consent_id"]], [toy_photo(number)]), 201)
        assert count(door.verify(given["subject_ref"], toy_photo(number)), 200).json()["decision"] == "match"
        assert count(door.verify(consent["subject_ref"], toy_photo(3)), 200).json()["decision"] == "match"
        count(person("GET", "/v1/me/access"), 200)
        if number % 2:
            count(person("DELETE", f"/v1/me/consents/{given['consent_id']}"), 200)
            count(door.verify(given["subject_ref"], toy_photo(number)), 404)
        else:
            count(person("DELETE", "/v1/me"), 200, 202)
        count(service.client.get("/readyz"), 200)

    run_beside(rotations, use_service, threads=2)

    assert len({one["kek_id"] for one in told}) == len(told)
    assert not any(one["resumed"] for one in told)
    assert door.verify(consent["subject_ref"], toy_photo(3)).json()["decision"] == "match"
    assert stay("GET", "/v1/me").json()["display_name"] == "Ada Canary"


def test_service_without_the_new_setting_is_not_ready(root: Path, pool: SharedPool) -> None:
    """The service has the old value only, the command has both: the wrong order."""
    old, new = (root / "keys" / "kek").read_text().strip(), base64.b64encode(b"n" * KEY_BYTES).decode()
    with serving(root, pool, toy_card(), kek=old) as service:
        person = service.person()
        service.pool.wait_full()
        before = service.client.get("/readyz")
        done = run_here(root, "keys", "rotate", "--json", MIEN_KEK=old, MIEN_KEK_NEXT=new)
        after = service.client.get("/readyz")
    too_old = run_here(root, "sweep", MIEN_KEK=old)
    with serving(root, pool, toy_card(), kek=new) as service:
        name = Person(service.client, person.subject_id, person.token, "")("GET", "/v1/me").json()["display_name"]

    assert (before.status_code, done.exit_code, after.status_code) == (200, 0, 503)
    assert "give the new one" in " ".join(after.json()["reasons"])
    assert "set MIEN_KEK to the value of MIEN_KEK_NEXT" in json.loads(done.stdout)["to_do"]
    assert refused(too_old, "if it was rotated, give the new one")
    assert name == "Ada Canary"
