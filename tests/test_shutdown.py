"""SIGTERM ends the real program: requests in progress are answered, new ones refused, and no process is left."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.byte_scan import rows
from tests.support.launcher import HANG_S, Program, run_program
from tests.support.service_fixture import Party, Person, enrol
from tests.support.waiting import wait_until

pytestmark = pytest.mark.service

PEOPLE = Path(__file__).parent / "images" / "people"


def enrolled(running: Program, name: str = "Ada Canary") -> tuple[Person, Party, dict[str, Any]]:
    """Enrol a new subject for a new relying party, with a real face."""
    person, party = running.person(name), running.party()
    notices = {one["purpose"]: one["sha256"] for one in running.client.get("/v1/notices").json()["items"]}
    body = {
        "purpose": "verification",
        "notice_sha256": notices["verification"],
        "relying_party_id": party.id,
    }
    given = person("POST", "/v1/me/consents", json=body).json()
    answer = enrol(person, [given["consent_id"]], [face("amateur_selfie"), face("studio_portrait")])
    assert answer.status_code == 201, answer.text
    return person, party, given


def face(name: str) -> bytes:
    """Return a photo of the first of the synthetic people."""
    return (PEOPLE / "P001" / f"{name}.jpg").read_bytes()


def has_read_all(running: Program) -> bool:
    """Return whether the service has read all bytes that its connections received."""
    port = f":{running.client.base_url.port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return all(line[4].endswith(":00000000") for line in lines if line[1].endswith(port) and line[3] == "01")


def test_verification_in_progress_at_sigterm_is_answered_and_recorded(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with run_program(tmp_path, TMPDIR=str(temporary)) as running:
        _, party, given = enrolled(running)
        workers = psutil.Process(running.process.pid).children(recursive=True)
        photo, events = face("emo_happy"), list[str]()
        probe = {"data": {"subject_ref": given["subject_ref"]}, "files": {"probe": photo}}
        trace = {"trace": lambda event, _details: events.append(event)}
        with ThreadPoolExecutor(6) as executor:
            # Suspended workers keep every request in progress until SIGTERM.
            for worker in workers:
                worker.suspend()
            sent = [executor.submit(party, "POST", "/v1/verifications", **probe, extensions=trace) for _ in range(6)]
            wait_until(
                lambda: events.count("http11.send_request_body.complete") >= 6 and has_read_all(running),
                within_s=HANG_S,
            )
            under_way = sum(not one.done() for one in sent)
            running.process.send_signal(signal.SIGTERM)
            for worker in workers:
                worker.resume()
            answers = [one.result() for one in sent]
        code = running.process.wait(300)
        with pytest.raises(httpx.ConnectError):
            httpx.get(running.client.base_url.join("/livez"), trust_env=False)
    lines = {row[0] for row in rows(tmp_path / "data" / "mien.db", "SELECT id FROM comparisons")}
    left = [one for one in workers if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]

    assert under_way == 6
    assert [answer.status_code for answer in answers] == [200] * 6
    assert lines == {answer.json()["comparison_id"].replace("-", "") for answer in answers}
    assert code == 0
    assert len(workers) >= 2
    assert left == []
    assert not (tmp_path / "data" / "mien.db-wal").exists(), "both databases were closed"
