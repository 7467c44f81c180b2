"""SIGTERM: what was begun is finished and answered, nothing new is begun, nobody is left behind. The real program."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, enrol

pytestmark = pytest.mark.service

PROJECT = Path(__file__).parents[1]
PEOPLE = Path(__file__).parent / "images" / "people"
READY_S = 300


@dataclass
class Program:
    """`python -m app serve`, and its standard error."""

    process: subprocess.Popen[bytes]
    root: Path
    client: httpx.Client
    environment: dict[str, str]
    stopped: list[int] = field(default_factory=list)

    def log(self) -> bytes:
        """Return what it has written to standard error so far."""
        return (self.root / "stderr").read_bytes()

    def command(self, *arguments: str) -> dict[str, Any]:
        """Run one operator's command."""
        done = subprocess.run(
            [sys.executable, "-m", "app", *arguments, "--json"],
            env=self.environment,
            cwd=PROJECT,
            capture_output=True,
            check=True,
        )
        printed: dict[str, Any] = httpx.Response(200, content=done.stdout).json()
        return printed

    def party(self) -> Party:
        """Add a relying party."""
        added = self.command(
            *("relying-party", "add", "Door", "--contact", "door@example.org"),
            *("--purpose", "verification", "--alternative", "a key card"),
        )
        return Party(self.client, added["relying_party_id"], added["api_key"])

    def person(self, name: str) -> Person:
        """Register somebody."""
        given = self.client.post("/v1/subjects", json={"declared_adult": True, "display_name": name}).json()
        return Person(self.client, given["subject_id"], given["access_token"], given["recovery_code"])

    def enrolled(self, name: str = "Ada Canary") -> tuple[Person, Party, dict[str, Any]]:
        """Return somebody enrolled for a relying party, with a real face."""
        person, party = self.person(name), self.party()
        notices = {one["purpose"]: one["sha256"] for one in self.client.get("/v1/notices").json()["items"]}
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


@contextmanager
def program(root: Path) -> Iterator[Program]:
    """Run the service as an operator does, until the block ends."""
    places = {"MIEN_DATA_DIR": root / "data", "MIEN_KEYS_DIR": root / "keys", "TMPDIR": root / "tmp"}
    for place in places.values():
        place.mkdir(mode=0o700, parents=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    environment = kept | {name: str(place) for name, place in places.items()}
    with (root / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "app", "serve", "--port", "0", "--json"],
            env=environment,
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    try:
        assert process.stdout is not None
        address = httpx.Response(200, content=process.stdout.readline()).json()["address"]
        with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
            _wait_ready(client)
            yield Program(process, root, client, environment)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _wait_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise TimeoutError("it did not become ready")


def test_verification_under_way_when_told_to_stop_is_answered_and_recorded(tmp_path: Path) -> None:
    with program(tmp_path) as running:
        _, party, given = running.enrolled()
        workers = psutil.Process(running.process.pid).children(recursive=True)
        photo = face("emo_happy")
        with ThreadPoolExecutor(6) as executor:
            # However fast the machine is, none is answered before the service is told to stop.
            for worker in workers:
                worker.suspend()
            sent = [executor.submit(party.verify, given["subject_ref"], photo) for _ in range(6)]
            time.sleep(1)
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
