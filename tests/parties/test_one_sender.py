"""One process at a time serves a data directory, and one sends its messages."""

import socket
import subprocess
import sys
import threading
from pathlib import Path

from tests.architecture.source import ROOT
from tests.parties.receivers import OK, run_receiver
from tests.support.launcher import environment, refused, run_command, run_here, run_program
from tests.support.waiting import PATIENCE_S, wait_until


def test_a_second_service_is_refused_and_commands_beside_the_first_work(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "the same data"
    link.symlink_to(root / "data")
    with run_program(root, wait=False) as first:
        for name in (root / "data", link):
            second = run_command(root, "serve", "--port", "0", MIEN_DATA_DIR=str(name))

            assert refused(second, "another `mien serve` runs on it"), second.stderr
        assert refused(run_here(root, "restore", tmp_path), "the service or a command is using it; stop that first")
        for words in (["sweep"], ["migrate"], ["keys", "list"], ["backup", tmp_path / "backup"], ["verify-log"]):
            assert run_command(root, *words).returncode == 0, words
        assert first.client.get("/livez").is_success
        # A killed process leaves the files of its locks, but no lock.
        first.kill()
    with run_program(root, wait=False) as again:
        assert again.client.get("/livez").is_success


def test_an_application_that_another_program_starts_is_refused_too(root: Path) -> None:
    code = (
        "import uvicorn; from app.main import build; from app.settings import Settings; from app.kit import "
        "application_log; application_log.configure(); uvicorn.run(build(Settings()), port=0, log_config=None)"
    )
    with run_program(root, wait=False):
        second = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env=environment(root), capture_output=True, text=True, check=False
        )

    assert second.returncode != 0
    assert "another `mien serve` runs on it" in second.stderr


def test_a_sweep_leaves_the_messages_to_the_running_service(root: Path) -> None:
    settings, released = {"MIEN_CALLBACK_PRIVATE": "true"}, threading.Event()

    def answer_when_released(caller: socket.socket) -> None:
        released.wait(PATIENCE_S)
        caller.sendall(OK)

    with run_receiver(answer_when_released) as receiver, run_program(root, wait=False, **settings) as service:
        party = service.party()
        service.command("relying-party", "callback", party.id, receiver.url)
        notices = service.client.get("/v1/notices").json()["items"]
        consent = {
            "purpose": "verification",
            "relying_party_id": party.id,
            "notice_sha256": next(one["sha256"] for one in notices if one["purpose"] == "verification"),
        }
        assert service.person("Ada")("POST", "/v1/me/consents", json=consent).is_success
        wait_until(lambda: receiver.requests)

        # Without the lock the sweep would send the message, which still waits, a second time.
        assert service.command("sweep")["messages_pending"] == 1
        assert len(receiver.requests) == 1
        released.set()
