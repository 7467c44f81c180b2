"""Receipts verify with and without a network, and an invalid one fails its step."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from app.demo import command_line
from app.demo.http_client import Client
from app.demo.narrator import Narrator, StepFailedError
from app.demo.people import StoryPhotos
from app.demo.receipt_steps import refuse_changed_receipt, verify_receipts
from app.demo.receipt_wallet import Wallet, open_wallet
from app.demo.service_process import ServiceProcess
from app.demo.state import DemoState, Person
from app.transparency.verify import receipt as receipts
from tests.transparency.signed_bundles import Signer, consent

pytestmark = pytest.mark.slow

Output = Callable[[], str]


@pytest.fixture
def demo_and_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[DemoState, Output]]:
    """Ada has one receipt, and no service runs."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stream, signer = io.StringIO(), Signer()
    narrator = Narrator(Console(file=stream, width=80))
    with ServiceProcess(keep=False) as service, open_wallet(keep=False) as wallet, httpx.Client() as http:
        ada = Person("Ada Example-Person", Client(http, narrator))
        wallet.store(signer.bundle(receipts.encode_receipt(consent())), owner="Ada", kind="consent_given")
        wallet.keys.write_bytes(signer.key_set())
        wallet.fingerprint = signer.key.kid
        yield DemoState(service, wallet, narrator, StoryPhotos(), ada.client, ada, ada), stream.getvalue


def install_unshare(folder: Path, script: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace `unshare` with a script, or leave it out."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "true").symlink_to("/bin/true")
    if script is not None:
        program = programs / "unshare"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


def remove_proof(file: Path) -> None:
    bundle = json.loads(file.read_text())
    del bundle["proof"]
    file.write_text(json.dumps(bundle))


UNSHARE_SCRIPTS = {
    "missing": None,
    "not permitted": "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1",
    "without effect": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
}


@pytest.mark.parametrize("script", UNSHARE_SCRIPTS.values(), ids=UNSHARE_SCRIPTS.keys())
def test_receipts_verify_where_the_network_cannot_be_turned_off(
    demo_and_output: tuple[DemoState, Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    demo, output = demo_and_output
    install_unshare(tmp_path, script, monkeypatch)
    verify_receipts(demo)

    assert "Its network stays on" in output()
    assert "✔ Ada: consent given" in output()


def test_a_command_that_turns_the_network_off_is_used_only_if_it_does() -> None:
    prefix = command_line.find_offline_prefix()

    assert command_line.can_connect(()), "the control"
    assert not prefix or not command_line.can_connect(prefix)


def test_a_changed_byte_is_refused_with_the_reason(demo_and_output: tuple[DemoState, Output]) -> None:
    demo, output = demo_and_output
    refuse_changed_receipt(demo)

    assert "✔ refused: the receipt is invalid" in output()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda wallet: setattr(wallet, "fingerprint", "A" * 43),
        lambda wallet: wallet.keys.write_bytes(Signer().key_set()),
        lambda wallet: wallet.receipts[0].file.write_text("{}"),
        lambda wallet: remove_proof(wallet.receipts[0].file),
        lambda wallet: wallet.receipts[0].file.unlink(),
    ],
    ids=["another fingerprint", "another key file", "no receipt", "no proof", "no file"],
)
def test_an_invalid_receipt_ends_the_story(
    demo_and_output: tuple[DemoState, Output], monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Wallet], object]
) -> None:
    demo, _ = demo_and_output
    monkeypatch.setattr("app.demo.receipt_steps.find_offline_prefix", tuple)
    spoil(demo.wallet)

    with pytest.raises(StepFailedError):
        verify_receipts(demo)


def test_the_command_runs_without_settings_in_an_empty_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "MIEN_PROFILE", "no such")
    done = command_line.run_mien("verify-log")

    assert done.code == 1
    assert "there is no" in done.error
    assert "there is no transparency log to check" in done.error
