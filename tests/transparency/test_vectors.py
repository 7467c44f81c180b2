"""The published test vectors: an independent script and the program give the stated result for each."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.faces import vectors
from app.templates.tables import Photo, Template
from app.vault.register import Owner
from app.vault.seal import Kek, SealError
from app.vault.sealing_context import sealing_context
from app.vault.tables import OwnerKind
from tests.architecture.source import ROOT
from tests.support.launcher import run_here
from tests.transparency.make_vectors import FOLDER, save

RECEIPTS = json.loads((FOLDER / "receipts.json").read_text("utf-8"))
SEALS = json.loads((FOLDER / "seals.json").read_text("utf-8"))
TEMPLATES = json.loads((FOLDER / "templates.json").read_text("utf-8"))


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the script where it cannot import the program."""
    script = shutil.copy(ROOT / "examples" / "check_vectors.py", folder)
    words = [sys.executable, "-I", script, str(folder)]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=folder)


@pytest.mark.service
def test_the_script_gives_the_stated_results_without_our_code(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    done = check(tmp_path)

    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == sum(len(content["cases"]) for content in (RECEIPTS, SEALS, TEMPLATES))
    assert "DIFFERENT" not in done.stdout


@pytest.mark.service
@pytest.mark.parametrize(
    ("file", "stated"), [("receipts.json", "valid"), ("seals.json", "opens"), ("templates.json", "reads")]
)
def test_the_script_notices_a_wrong_statement(tmp_path: Path, file: str, stated: str) -> None:
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    content = json.loads((tmp_path / file).read_text("utf-8"))
    for case in content["cases"]:
        case[stated] = not case[stated]
    (tmp_path / file).write_text(json.dumps(content), "utf-8")
    done = check(tmp_path)

    assert done.returncode == 1
    assert done.stdout.count("DIFFERENT") == len(content["cases"])


@pytest.mark.parametrize("case", RECEIPTS["cases"], ids=lambda case: str(case["name"]))
def test_the_program_gives_the_stated_result_for_a_receipt(tmp_path: Path, case: dict[str, Any]) -> None:
    receipt, jwks = tmp_path / "receipt.json", tmp_path / "jwks.json"
    receipt.write_text(json.dumps(case["receipt"]), "utf-8")
    jwks.write_text(json.dumps(RECEIPTS["jwks"]), "utf-8")
    words = ("verify-receipt", receipt, "--jwks", jwks, "--fingerprint", RECEIPTS["fingerprint"], "--json")
    result = run_here(tmp_path, *words)

    assert json.loads(result.stdout)["valid"] == case["valid"]
    assert result.exit_code == (0 if case["valid"] else 1)


def test_the_program_unwraps_the_key_and_opens_the_seals() -> None:
    kek, wrapped = Kek(bytes.fromhex(SEALS["kek"])), SEALS["wrapped_key"]
    owner = Owner(OwnerKind(wrapped["owner_kind"]), UUID(wrapped["owner_id"]))
    context = owner.context(wrapped["generation"])
    key = kek.unwrap(bytes.fromhex(wrapped["wrapped"]), context)
    opened = []
    for case in SEALS["cases"]:
        try:
            plain = key.open(bytes.fromhex(case["sealed"]), case["context"])
        except SealError:
            opened.append(False)
        else:
            opened.append(True)
            found = vectors.unpack(plain)
            assert found.weights_sha256 == SEALS["template"]["weights_sha256"]
            assert list(found.vector) == SEALS["template"]["vector"]

    assert opened == [case["opens"] for case in SEALS["cases"]]
    assert (kek.id, owner.digest.hex(), context) == (SEALS["kek_id"], wrapped["owner"], wrapped["context"])


@pytest.mark.parametrize("case", TEMPLATES["cases"], ids=lambda case: str(case["name"]))
def test_the_program_gives_the_stated_result_for_a_template(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["template"])
    if not case["reads"]:
        with pytest.raises(ValueError, match=r"."):
            vectors.unpack(raw)
        return
    found = vectors.unpack(raw)

    assert (found.weights_sha256, list(found.vector)) == (TEMPLATES["weights_sha256"], case["vector"])
    assert found.scale == case.get("scale")
    if "input" in case:
        assert vectors.pack(case["input"], weights_sha256=TEMPLATES["weights_sha256"]) == raw


def test_contexts_of_the_vectors_are_those_of_the_program() -> None:
    named = {case["name"]: case["context"] for case in SEALS["cases"]}
    row = UUID(named["template"].rpartition(":")[2])

    assert named["template"] == sealing_context(Template.sealed, row)
    assert named["another column"] == sealing_context(Photo.sealed, row)


@pytest.mark.parametrize("file", ["seals.json", "templates.json"])
def test_vectors_are_made_the_same_again(tmp_path: Path, file: str) -> None:
    """Those of receipts hold a notice, and change with its text; the published ones stay valid."""
    save(tmp_path)

    assert (tmp_path / file).read_bytes() == (FOLDER / file).read_bytes()
