"""`mien verify-receipt`, and the Python lines of docs/reference/receipts.md that verify without our code."""

import json
import re
import socket
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner, Result

from app.cli.program import app
from app.settings import DEMONSTRATION
from app.transparency.verify import receipt as receipts
from tests.architecture.source import ROOT
from tests.transparency.receipt_verification import stolen
from tests.transparency.signed_bundles import Key, Signer, b64, consent, right, saved


class Holder:
    """A person with a receipt and the key file in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signer = Signer()
        self.bundle = self.signer.bundle(receipts.encode_receipt(consent()))
        self.receipt = saved(folder, "receipt.json", self.bundle)
        self.keys = saved(folder, "jwks.json", self.signer.key_set())
        self.script = saved(folder, "check.py", python(ROOT / "docs" / "reference" / "receipts.md").encode())

    def run(self, *more: str, receipt: str | None = None, given: str | None = None) -> Result:
        words = ["verify-receipt", receipt or str(self.receipt), "--jwks", str(self.keys), *more]
        # Every command that reads settings refuses these.
        return CliRunner(env={"MIEN_PROFILE": "no such", "MIEN_DATA_DIR": str(self.folder / "data")}).invoke(
            app, words, input=given
        )

    def check(self, bundle: Any, *fingerprints: str) -> subprocess.CompletedProcess[str]:
        """Run the Python lines of the page."""
        receipt = saved(self.folder, "shown.json", bundle)
        words = [sys.executable, "-I", *map(str, (self.script, receipt, self.keys)), *fingerprints]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=self.folder)


def python(page: Path) -> str:
    """Return the Python lines of a page."""
    (lines,) = re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return str(lines)


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Holder:
    """A holder without a network."""

    def offline(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("the network was used")

    monkeypatch.setattr(socket, "socket", offline)
    return Holder(tmp_path)


def test_a_valid_receipt(holder: Holder) -> None:
    result = holder.run("--fingerprint", holder.signer.key.kid)

    assert result.exit_code == 0, result.output
    assert "consent_given" in result.stdout
    assert "2026-11-26T08:30:15Z" in result.stdout
    assert "by a key whose fingerprint you gave" in result.stdout


def test_the_result_can_be_one_json_object(holder: Holder) -> None:
    valid = holder.run("--fingerprint", Key().kid, "--fingerprint", holder.signer.key.kid, "--json")
    invalid = holder.run("--fingerprint", Key().kid, "--json")

    assert (valid.exit_code, invalid.exit_code) == (0, 1)
    assert json.loads(valid.stdout) | {"reason": ""} == {
        "valid": True,
        "reason": "",
        "kind": "consent_given",
        "event_time": "2026-11-26T08:30:15Z",
        "controller": DEMONSTRATION,
        "profile": "prototype",
        "kid": holder.signer.key.kid,
        "pinned": True,
        "logged": "proven",
        "log": holder.signer.log.origin,
        "logged_by": "2026-11-26T08:40:15Z",
    }
    assert json.loads(invalid.stdout).keys() == {"valid", "reason", "pinned", "logged"}


def test_a_receipt_can_come_from_standard_input(holder: Holder) -> None:
    assert holder.run(receipt="-", given=json.dumps(holder.bundle)).exit_code == 0
    assert holder.run(receipt="-", given="").exit_code == 1


def test_an_invalid_receipt_is_refused_with_the_reason(holder: Holder) -> None:
    saved(holder.folder, "receipt.json", {**holder.bundle, "salt": b64(bytes(32))})
    result = holder.run()

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("mien: salt and receipt do not give the leaf")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"[" * 500_000, b"\x00" * 5_000_000])
def test_a_file_that_is_no_receipt_is_refused(holder: Holder, content: bytes) -> None:
    for name in ("receipt.json", "jwks.json"):
        before = (holder.folder / name).read_bytes()
        saved(holder.folder, name, content)
        result = holder.run()
        saved(holder.folder, name, before)

        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1), result.stderr


def test_a_missing_file_is_refused(holder: Holder) -> None:
    result = holder.run(receipt=str(holder.folder / "none.json"))
    folder = holder.run(receipt=str(holder.folder))

    assert (result.exit_code, folder.exit_code) == (1, 1)
    assert "does not exist: check the path" in result.stderr


@pytest.mark.parametrize("words", [["verify-receipt"], ["verify-receipt", "x"], ["verify-receipt", "--jwks", "x"]])
def test_a_missing_argument_is_wrong_usage(holder: Holder, words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def test_a_malformed_fingerprint_is_wrong_usage(holder: Holder) -> None:
    result = holder.run("--fingerprint", holder.signer.key.kid + "=")

    assert result.exit_code == 2
    assert "no fingerprint" in result.stderr


def test_a_receipt_cannot_control_the_terminal(holder: Holder) -> None:
    """The author of both files can sign any text."""
    content = {**json.loads(receipts.encode_receipt(right())), "controller": "\x1b[2J\nvalid  True", "kind": "\x1b[2J"}
    for payload in (content, {**content, "kind": "rectification"}):
        saved(holder.folder, "receipt.json", holder.signer.bundle(json.dumps(payload).encode(), proven=False))
        result = holder.run()

        assert "\x1b" not in result.output
        assert "\nvalid  True" not in result.output
    saved(holder.folder, "receipt.json", {**holder.bundle, "\x1b[2J": 1})
    assert "\x1b" not in holder.run().output


def test_it_makes_no_stores(holder: Holder) -> None:
    holder.run()

    assert not (holder.folder / "data").exists()
    assert not (holder.folder / "data-keys").exists()


@pytest.mark.service
def test_the_page_verifies_a_receipt_without_our_code(holder: Holder) -> None:
    key, proof = holder.signer.key.kid, holder.bundle["proof"]
    proven = holder.check(holder.bundle, key)
    promised = holder.check({name: holder.bundle[name] for name in holder.bundle if name != "proof"}, key)

    assert (proven.returncode, promised.returncode) == (0, 0), proven.stderr
    assert "yes the leaf is in the log" in proven.stdout
    assert json.loads(proven.stdout[proven.stdout.index("{") :])["kind"] == "consent_given"
    assert "in the log\n" not in promised.stdout
    for changed in (
        {"jws": holder.bundle["jws"].replace(".", ".A", 1)},
        {"jws": holder.bundle["promise"]},
        {"salt": b64(bytes(32))},
        {"leaf": "0" * 64},
        {"promise": holder.signer.bundle(receipts.encode_receipt(right()), proven=False)["promise"]},
        {"proof": {**proof, "index": proof["index"] - 1}},
        {"proof": {**proof, "index": proof["index"] + 1}},
        {"proof": {**proof, "hashes": proof["hashes"][::-1]}},
        {"proof": {**proof, "hashes": proof["hashes"][:-1]}},
        {"proof": {**proof, "checkpoint": proof["checkpoint"].replace("\n12\n", "\n13\n")}},
        {"proof": {**proof, "checkpoint": proof["checkpoint"].replace("mien/3", "mien/4", 1)}},
    ):
        assert holder.check({**holder.bundle, **changed}, key).returncode == 1, changed


@pytest.mark.service
def test_the_page_accepts_no_other_key(holder: Holder) -> None:
    thief = Signer(key=Key(), log=holder.signer.log)
    forged = thief.bundle(receipts.encode_receipt(consent()))

    assert holder.check(forged, holder.signer.key.kid).returncode == 1
    assert holder.check(holder.bundle, thief.key.kid).returncode == 1
    assert holder.check(holder.bundle, holder.signer.log.key.kid).returncode == 1
    assert holder.check(holder.bundle).returncode == 1


@pytest.mark.service
def test_the_page_accepts_a_stolen_key_for_leaves_from_before_the_theft(holder: Holder) -> None:
    key, log, index = holder.signer.key.kid, holder.signer.log.key.kid, holder.bundle["proof"]["index"]

    saved(holder.folder, "jwks.json", holder.signer.key_set(**stolen(index + 1)))
    assert holder.check(holder.bundle, key, log).returncode == 0
    assert holder.check(holder.bundle, key).returncode == 1
    assert holder.check({**holder.bundle, "proof": None}, key, log).returncode == 1
    saved(holder.folder, "jwks.json", holder.signer.key_set(**stolen(index)))
    assert holder.check(holder.bundle, key, log).returncode == 1


def test_the_page_proves_a_leaf_in_every_place_of_a_tree(holder: Holder) -> None:
    """All leaves of all sizes up to nine."""
    script = holder.script.read_text("utf-8")
    for size in range(1, 10):
        signer = Signer()
        signer.log.leaves.clear()
        made = [signer.bundle(receipts.encode_receipt(right())) for _ in range(size)]
        saved(holder.folder, "jwks.json", signer.key_set())
        for bundle in made:
            shown = saved(holder.folder, "shown.json", {**bundle, "proof": signer.log.proof(bundle["leaf"])})

            run_here(script, [str(holder.script), str(shown), str(holder.keys), signer.key.kid])


def run_here(script: str, words: list[str]) -> None:
    """Run the Python lines in this process, which is faster than a process for each bundle."""
    before, sys.argv = sys.argv, words
    try:
        exec(compile(script, words[0], "exec"), {"open": lambda name: StringIO(Path(name).read_text("utf-8"))})  # noqa: S102
    finally:
        sys.argv = before


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_receipt_and_keys_saved_by_other_programs_are_valid(holder: Holder, encoding: str) -> None:
    for file in (holder.receipt, holder.keys):
        text = json.dumps(json.loads(file.read_bytes()), indent=1).replace("\n", "\r\n")
        file.write_bytes(text.encode(encoding))
    result = holder.run("--fingerprint", f" {holder.signer.key.kid}\u200b\n")

    assert result.exit_code == 0, result.output
    assert "consent_given" in result.stdout
