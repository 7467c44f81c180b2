"""The last act holds with the network off, with it on where it stays on, and only if each receipt does."""

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from app.demo import command_line
from app.demo.http_client import Caller
from app.demo.narrator import StepFailedError, Teller
from app.demo.people import Cast
from app.demo.receipt_wallet import Holder
from app.demo.receipts_act import a_changed_byte_is_refused, receipts_prove_each_step
from app.demo.scene import Person, Scene
from app.demo.service_process import Stage
from app.transparency.verify import receipt as receipts
from tests.transparency.signed_bundles import Signer, consent

pytestmark = pytest.mark.slow

Told = Callable[[], str]


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Scene, Told]]:
    """Ada holds one receipt, and no service is there."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    stream, signer = io.StringIO(), Signer()
    teller = Teller(Console(file=stream, width=80))
    with Stage(keep=False) as stage, Holder(keep=False) as holder, httpx.Client() as http:
        ada = Person("Ada Example-Person", Caller(http, teller))
        made = Scene(stage=stage, holder=holder, teller=teller, cast=Cast(), door=ada.caller, ada=ada, ben=ada)
        holder.keep(signer.bundle(receipts.encode_receipt(consent())), owner="Ada", kind="consent_given")
        holder.keys.write_bytes(signer.key_set())
        holder.fingerprint = signer.key.kid
        yield made, stream.getvalue


def machine_with(folder: Path, unshare: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with this `unshare`, or none."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "true").symlink_to("/bin/true")
    if unshare is not None:
        program = programs / "unshare"
        program.write_text(f"#!/bin/sh\n{unshare}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))


def without_proof(file: Path) -> None:
    bundle = json.loads(file.read_text())
    del bundle["proof"]
    file.write_text(json.dumps(bundle))


STAND_INS = {
    "there is none": None,
    "it is not permitted": "echo 'unshare: unshare failed: Operation not permitted' >&2; exit 1",
    "it takes nothing away": 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
}


@pytest.mark.parametrize("unshare", STAND_INS.values(), ids=STAND_INS.keys())
def test_receipts_hold_on_a_machine_that_cannot_take_the_network_away(
    scene: tuple[Scene, Told], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unshare: str | None
) -> None:
    played, told = scene
    machine_with(tmp_path, unshare, monkeypatch)
    receipts_prove_each_step(played)

    assert "Its network stays on" in told()
    assert "✔ Ada: consent given" in told()


def test_what_takes_the_network_away_is_used_if_it_does() -> None:
    behind = command_line.offline()

    assert command_line.reaches_us(()), "the control"
    assert not behind or not command_line.reaches_us(behind)


def test_a_changed_byte_is_refused_and_the_reason_said(scene: tuple[Scene, Told]) -> None:
    played, told = scene
    a_changed_byte_is_refused(played)

    assert "✔ refused: the receipt is invalid" in told()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda scene: setattr(scene.holder, "fingerprint", "A" * 43),
        lambda scene: scene.holder.keys.write_bytes(Signer().key_set()),
        lambda scene: scene.holder.receipts[0].file.write_text("{}"),
        lambda scene: without_proof(scene.holder.receipts[0].file),
        lambda scene: scene.holder.receipts[0].file.unlink(),
    ],
    ids=["another fingerprint", "another key file", "no receipt", "no proof", "no file"],
)
def test_a_receipt_that_does_not_hold_ends_the_story(
    scene: tuple[Scene, Told], monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Scene], object]
) -> None:
    played, _ = scene
    monkeypatch.setattr("app.demo.receipts_act.offline", tuple)
    spoil(played)

    with pytest.raises(StepFailedError):
        receipts_prove_each_step(played)


def test_the_command_gets_no_setting_and_an_empty_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "MIEN_PROFILE", "no such")
    done = command_line.mien("verify-log")

    assert done.code == 1
    assert "there is no" in done.trouble
    assert "there is no transparency log to check" in done.trouble
