"""The command `mien verify-log`: it reports whether the log is whole and the next step, and changes nothing."""

import json
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
from tests.support.launcher import run_here
from tests.support.service_fixture import RunningService, copied
from tests.transparency.tampered_logs import append_batches, roll_register_back, tampered_store

BANNER = f"mien: prototype, {DEMONSTRATION}\n"
Command = Callable[..., Result]


@pytest.fixture(scope="module")
def log(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copied(prepared, tmp_path_factory.mktemp("log") / "service")
    append_batches(root, 20, 300)
    return root


@pytest.fixture
def root(log: Path, tmp_path: Path) -> Path:
    return copied(log, tmp_path / "service")


def environment(root: Path) -> dict[str, str]:
    return {"MIEN_DATA_DIR": str(root / "data"), "MIEN_KEYS_DIR": str(root / "keys")}


@pytest.fixture
def command(root: Path) -> Command:
    return lambda *words: run_here(root, "verify-log", *words)


def document(result: Result, code: int) -> dict[str, Any]:
    """Return the printed JSON of a command that exited with *code*."""
    assert result.exit_code == code, result.output
    printed: dict[str, Any] = json.loads(result.stdout)
    return printed


def test_a_whole_log_is_reported_as_whole(command: Command) -> None:
    plain, report = command(), document(command("--json"), 0)

    assert (plain.exit_code, plain.stderr) == (0, BANNER)
    assert "whole" in plain.stdout
    assert report["log"] in plain.stdout
    assert (report["whole"], report["findings"], report["first_bad_entry"]) == (True, [], None)
    assert report["checked"]["leaves"] == report["size"] > 320


def test_the_first_bad_entry_is_named_with_the_next_step(root: Path, command: Command) -> None:
    with tampered_store(root) as tampered:
        tampered.change(123, bytes(HASH_BYTES))

    plain, report = command(), document(command("--json"), 1)

    assert (plain.exit_code, plain.stdout) == (1, "")
    assert plain.stderr.startswith(f"{BANNER}mien: the first bad entry is 123: ")
    assert "docs/reference/transparency-log.md" in plain.stderr
    assert (report["whole"], report["first_bad_entry"]) == (False, 123)
    assert (report["findings"][0]["kind"], report["findings"][0]["index"]) == (FindingKind.LEAF_CHANGED, 123)
    assert report["findings"][0]["do"]


def test_a_register_that_other_commands_refuse_is_audited(root: Path, command: Command, tmp_path: Path) -> None:
    size = roll_register_back(root, tmp_path)

    sweep = CliRunner(env=environment(root)).invoke(app, ["sweep"])
    report = document(command("--json"), 1)

    assert sweep.exit_code == 1
    assert report["first_bad_entry"] == size


def test_without_stores_it_is_refused_and_makes_none(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    result = CliRunner(env=environment(missing)).invoke(app, ["verify-log"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "there is no transparency log to check" in result.stderr
    assert not missing.exists()


def test_it_works_while_a_service_runs(service: RunningService, command: Command) -> None:
    service.enrolled()

    assert document(command("--json"), 0)["checked"]["entries"] > 0


def test_every_finding_is_documented() -> None:
    page = (ROOT / "docs" / "reference" / "transparency-log.md").read_text("utf-8")

    assert not [kind for kind in FindingKind if f"`{kind}`" not in page]
