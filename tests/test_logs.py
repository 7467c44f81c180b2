"""The application log of the real program, through a whole story: JSON without personal data."""

import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from tests.support.byte_scan import Needles
from tests.support.launcher import Program, run_program
from tests.support.service_fixture import Person, enrol
from tests.test_shutdown import enrolled, face

pytestmark = pytest.mark.slow

NAME = "Ada Lovelace-Canary"


def spoil_name(running: Program, person: Person) -> None:
    """Change a sealed name in the database, so that it does not open."""
    with closing(sqlite3.connect(running.root / "data" / "mien.db")) as connection, connection:
        connection.execute(
            "UPDATE subjects SET sealed_name = ? WHERE id = ?", (b"spoilt" * 8, UUID(person.subject_id).hex)
        )


def play_story(running: Program) -> tuple[Needles, list[int]]:
    """Play a story with many errors; return the needles that must not be in the log, and the statuses."""
    person, party, given = enrolled(running, NAME)
    unknown = str(uuid4())
    photo = face("emo_happy")
    answers: list[httpx.Response] = [
        party.verify(given["subject_ref"], photo),
        party.verify(given["subject_ref"], b"no image: canary in a probe"),
        party.verify(unknown, photo),
        person("GET", f"/v1/me/photos/{unknown}"),
        person("GET", "/v1/me/comparisons", params={"limit": "canary-in-a-query"}),
        person("GET", "/v1/me/comparisons", params={"after": "canary-in-a-query"}),
        person("POST", "/v1/me/consents", json={"purpose": "canary-in-a-body", "notice_sha256": given["subject_ref"]}),
        running.client.post("/v1/subjects", content=b"canary-in-a-broken-body"),
        running.client.get("/v1/me", headers={"Authorization": "Bearer mien_sub_canary-in-a-token"}),
        running.client.get(f"/canary-in-a-path/{person.subject_id}"),
        enrol(person, [given["consent_id"]], [photo, b"canary-in-a-photo"]),
        running.client.post("/v1/recoveries", json={"recovery_code": "mien_rec_canary-in-a-code"}),
    ]
    spoil_name(running, person)
    answers.append(person("GET", "/v1/me"))
    comparison = answers[0].json()["comparison_id"]
    withdrawn = person("DELETE", f"/v1/me/consents/{given['consent_id']}")
    erased = person("DELETE", "/v1/me")
    needles = Needles().text("name", NAME).text("token", person.token).text("recovery code", person.recovery_code)
    needles.text("relying party's key", party.key).text("subject_ref", given["subject_ref"]).photo("photo", photo)
    needles.id("subject", person.subject_id).id("consent", given["consent_id"]).id("comparison", comparison)
    needles.id("unknown id", unknown).id("erasure", erased.json()["erasure_id"]).text("canary", "canary-in-")
    needles.text("probe", "no image: canary")
    return needles, [answer.status_code for answer in [*answers, withdrawn, erased]]


def test_the_application_log_is_json_without_personal_data(tmp_path: Path) -> None:
    with run_program(tmp_path) as running:
        needles, statuses = play_story(running)
        running.process.send_signal(signal.SIGINT)
        code = running.process.wait(300)
        log = running.log()
    lines = [json.loads(line) for line in log.splitlines()]
    requests = [line for line in lines if line["event"] == "request"]

    assert not needles.found([("log", log.encode())])
    assert code == 0
    assert statuses == [200, 415, 404, 404, 422, 422, 422, 422, 401, 404, 415, 401, 503, 200, 200]
    assert {line["event"] for line in lines} >= {"serving", "request", "storage failed", "stopped"}
    assert [line["error"] for line in lines if line["event"] == "storage failed"] == ["SealError"]
    assert sorted(set(statuses)) == sorted({line["status"] for line in requests} & set(statuses))
    assert all("{" in line["route"] for line in requests if line["route"] and "photos" in line["route"])
    assert {line["level"] for line in lines} >= {"info", "error"}


def test_a_path_with_an_id_is_found(tmp_path: Path) -> None:
    """The control."""
    one = uuid4()
    line = json.dumps({"event": "request", "path": f"/v1/me/photos/{one}"}).encode()

    assert Needles().id("photo", one).found([("log", line)]) == ["photo in log"]
    assert not Needles().id("photo", uuid4()).found([("log", line)])
    assert tmp_path.is_dir()
