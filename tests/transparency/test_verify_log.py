"""The command `mien verify-log`: it says whether the log is whole, and what to do if not; it changes nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli.program import app
from app.settings import DEMONSTRATION
from app.transparency.audit.findings import FindingKind
from app.transparency.log.tiles import HASH_BYTES
from tests.architecture.source import ROOT
from tests.support.service_fixture import RunningService, copied
from tests.transparency.tampered_logs import grown, rolled_back, tampering

BANNER = f"mien: prototype, {DEMONSTRATION}\n"
Command = Callable[..., Result]


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    root = copied(prepared, tmp_path / "service")
    grown(root, 20, 300)
    return root


def environment(root: Path) -> dict[str, str]:
    return {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}


@pytest.fixture
def command(root: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setattr("app.web.request_log.configure", lambda: None)
    return lambda *words: CliRunner(env=environment(root)).invoke(app, ["verify-log", *words])


def found(result: Result, code: int) -> dict[str, Any]:
    assert result.exit_code == code, result.output
    said: dict[str, Any] = json.loads(result.stdout)
    return said


def test_a_whole_log_is_said_to_be_whole(command: Command) -> None:
    plain, said = command(), found(command("--json"), 0)

    assert (plain.exit_code, plain.stderr) == (0, BANNER)
    assert "whole" in plain.stdout
    assert said["log"] in plain.stdout
    assert (said["whole"], said["findings"], said["first_bad_entry"]) == (True, [], None)
    assert said["checked"]["leaves"] == said["size"] > 320


def test_the_first_bad_entry_is_named_and_what_to_do(root: Path, command: Command) -> None:
    with tampering(root) as tampered:
        tampered.change(123, bytes(HASH_BYTES))

    plain, said = command(), found(command("--json"), 1)

    assert (plain.exit_code, plain.stdout) == (1, "")
    assert plain.stderr.startswith(f"{BANNER}mien: the first bad entry is 123: ")
    assert "docs/reference/transparency-log.md" in plain.stderr
    assert (said["whole"], said["first_bad_entry"]) == (False, 123)
    assert (said["findings"][0]["kind"], said["findings"][0]["index"]) == (FindingKind.LEAF_CHANGED, 123)
    assert said["findings"][0]["do"]


def test_a_register_that_nothing_else_starts_with_is_looked_through(
    root: Path, command: Command, tmp_path: Path
) -> None:
    size = rolled_back(root, tmp_path)

    sweep = CliRunner(env=environment(root)).invoke(app, ["sweep"])
    said = found(command("--json"), 1)

    assert sweep.exit_code == 1
    assert said["first_bad_entry"] == size


@pytest.mark.service
def test_it_is_refused_where_there_is_nothing_and_makes_nothing(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    result = subprocess.run(
        [sys.executable, "-m", "app", "verify-log"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment(nothing)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert (result.returncode, result.stdout) == (1, "")
    assert "there is no transparency log to check" in result.stderr
    assert not nothing.exists()


def test_it_works_beside_a_service(service: RunningService, root: Path, command: Command) -> None:
    service.enrolled()

    assert found(command("--json"), 0)["checked"]["entries"] > 0


def test_every_finding_is_documented() -> None:
    written = (ROOT / "docs" / "reference" / "transparency-log.md").read_text("utf-8")

    assert not [kind for kind in FindingKind if f"`{kind}`" not in written]
