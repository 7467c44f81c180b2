"""A rotation beside a service that works: nobody notices, and nothing is lost."""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from app.vault import rotation
from app.vault.open import open_vault
from app.vault.register import Owner
from app.vault.rotation import Rotated, rotate
from app.vault.seal import KEY_BYTES, Kek
from tests.comparisons.failures import unhindered
from tests.support.byte_scan import rows
from tests.support.launcher import run_command
from tests.support.service_fixture import Person, RunningService, SharedPool, enrol, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.test_cli import refused

ROTATIONS = 20
AT_ONCE = 4


def until_done(work: Callable[[], None], others: Callable[[int], None], at_once: int = AT_ONCE) -> None:
    """Do *work* while others do theirs again and again; what fails in any of them fails here."""
    stopped, failed = threading.Event(), []

    def again(number: int) -> None:
        try:
            while not stopped.is_set():
                others(number)
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=again, args=(number,)) for number in range(at_once)]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]


def test_key_that_is_issued_meanwhile_is_never_under_one_that_was_destroyed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rotation has its own connection and its own view of the keys, as the command beside the service has."""
    monkeypatch.setattr(rotation, "BATCH", 64)
    monkeypatch.setattr(rotation, "PAUSE_S", 0.001)
    service = open_vault(settings_for(root))
    issued: list[tuple[Owner, bytes]] = []
    ids = set()

    def rotations() -> None:
        for _ in range(ROTATIONS):
            command = open_vault(settings_for(root))
            with closing(command.data), closing(command.register.store):
                ids.add(rotate(command.register).kek_id)

    def works(number: int) -> None:
        owner = Owner.subject(uuid4())
        service.register.issue(owner)
        issued.append((owner, service.register.key(owner).seal(b"kept", "here")))
        # Somebody older too, whose key is perhaps being wrapped anew just now.
        older, sealed = issued[len(issued) * number // AT_ONCE]
        assert service.register.key(older).open(sealed, "here") == b"kept"
        if number == 0:
            service.register.origin()
        time.sleep(0.003)

    with closing(service.data), closing(service.register.store):
        until_done(rotations, works)

        assert (len(ids), len(issued) > ROTATIONS * 4) == (ROTATIONS, True)
        assert all(service.register.key(owner).open(sealed, "here") == b"kept" for owner, sealed in issued)
    named = {kek_id for (kek_id,) in rows(root / "keys" / "register.db", "SELECT DISTINCT kek_id FROM keys")}
    assert len(named - ids) == 0
    assert len(named) <= 2, "the last one, and no other but what was issued under it"


def test_key_that_was_read_before_a_rotation_and_is_wanted_after_it_is_read_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two readings somebody asked whether the service is ready, and so forgot the old one."""
    service, command = (open_vault(settings_for(root)) for _ in range(2))
    owner = Owner.subject(uuid4())
    service.register.issue(owner)
    sealed = service.register.key(owner).seal(b"kept", "here")
    found = service.register.ring.get
    late: list[Rotated] = []

    def get(kek_id: str) -> Kek:
        if not late:
            late.append(rotate(command.register))
            service.register.ring.reload()
        return found(kek_id)

    monkeypatch.setattr(service.register.ring, "get", get)
    for vault in (service, command):
        with closing(vault.data), closing(vault.register.store):
            assert vault.register.key(owner).open(sealed, "here") == b"kept"
    assert late


def test_service_that_works_meanwhile_answers_everybody(service: RunningService) -> None:
    """People enrol, are compared, look and withdraw while the command rotates, as a process of its own."""
    door = service.party()
    stay, _, consent = service.enrolled(face=3, party=door)
    answers: Counter[int] = Counter()
    told: list[dict[str, object]] = []

    def said(answer: httpx.Response, *expected: int) -> httpx.Response:
        answers[answer.status_code] += 1
        assert answer.status_code in expected, answer.text
        return answer

    def rotations() -> None:
        for _ in range(4):
            done = run_command(service.root, "keys", "rotate", "--json")
            assert done.returncode == 0, done.stderr
            told.append(json.loads(done.stdout))

    unhindered(service)

    def lives(number: int) -> None:
        person = service.person(f"Number {number}")
        given = service.consent(person, door)
        said(enrol(person, [given["consent_id"]], [toy_photo(number)]), 201)
        assert said(door.verify(given["subject_ref"], toy_photo(number)), 200).json()["decision"] == "match"
        assert said(door.verify(consent["subject_ref"], toy_photo(3)), 200).json()["decision"] == "match"
        said(person("GET", "/v1/me/access"), 200)
        if number % 2:
            said(person("DELETE", f"/v1/me/consents/{given['consent_id']}"), 200)
            said(door.verify(given["subject_ref"], toy_photo(number)), 404)
        else:
            said(person("DELETE", "/v1/me"), 200, 202)
        said(service.client.get("/readyz"), 200)

    until_done(rotations, lives, at_once=2)

    assert len({one["kek_id"] for one in told}) == 4
    assert not any(one["resumed"] for one in told)
    assert answers[200] > 20
    assert door.verify(consent["subject_ref"], toy_photo(3)).json()["decision"] == "match"
    assert stay("GET", "/v1/me").json()["display_name"] == "Ada Canary"


def test_service_without_the_new_setting_says_that_it_is_not_ready(root: Path, pool: SharedPool) -> None:
    """It was started with the old value alone, and the command with both: in the wrong order."""
    old, new = (root / "keys" / "kek").read_text().strip(), base64.b64encode(b"n" * KEY_BYTES).decode()
    with serving(root, pool, toy_card(), kek=old) as service:
        person = service.person()
        service.pool.wait_full()
        before = service.client.get("/readyz")
        done = run_command(root, "keys", "rotate", "--json", MIEN_KEK=old, MIEN_KEK_NEXT=new)
        after = service.client.get("/readyz")
    too_old = run_command(root, "sweep", MIEN_KEK=old)
    with serving(root, pool, toy_card(), kek=new) as service:
        name = Person(service.client, person.subject_id, person.token, "")("GET", "/v1/me").json()["display_name"]

    assert (before.status_code, done.returncode, after.status_code) == (200, 0, 503)
    assert "give the new one" in " ".join(after.json()["reasons"])
    assert "set MIEN_KEK to the value of MIEN_KEK_NEXT" in json.loads(done.stdout)["to_do"]
    assert refused(too_old, "if it was rotated, give the new one")
    assert name == "Ada Canary"
