"""`mien restore-check`: each loss that a restore by other tools can cause is found, and named in its line."""

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.kit.clock import utc_now
from tests.support.byte_scan import rows
from tests.support.launcher import run_here
from tests.support.service_fixture import SharedPool, serving
from tests.support.toy_engine import toy_card


def check(root: Path, *options: str, passes: bool = True) -> dict[str, str]:
    """Run the command; returns the text of each finding."""
    done = run_here(root, "restore-check", "--json", *options)
    assert done.exit_code == (0 if passes else 1), done.output
    answer: dict[str, Any] = httpx.Response(200, text=done.stdout).json()
    assert answer["passed"] == passes
    assert [one["passed"] for one in answer["findings"]] == [True] * (len(answer["findings"]) - 1) + [passes]
    return {one["name"]: one["text"] for one in answer["findings"]}


def lost(root: Path, pool: SharedPool, store: str) -> None:
    """Put back the copy of a store that was made before a person enrolled and another erased their data."""
    with serving(root, pool, toy_card()) as service:
        erased, party, _ = service.enrolled(face=1)
    shutil.copytree(root / store, root / "older")
    with serving(root, pool, toy_card()) as service:
        erased.client = party.client = service.client
        service.enrolled(face=2, party=party)
        erased("DELETE", "/v1/me").raise_for_status()
    shutil.rmtree(root / store)
    shutil.copytree(root / "older", root / store)


def test_stores_that_nothing_happened_to_pass(root: Path) -> None:
    lines = run_here(root, "restore-check").stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok     restore",
        "ok     stores",
        "ok     register",
        "ok     transparency log",
        "ok     dead rows",
    ]


def test_register_older_than_the_data_is_named(root: Path, pool: SharedPool) -> None:
    lost(root, pool, "keys")
    findings = check(root, passes=False)
    assert list(findings)[-1] == "register"
    assert "older than the data" in findings["register"]
    assert len(rows(root / "data" / "mien.db", "SELECT id FROM subjects")) == 1


def test_older_data_loses_what_ended_since(root: Path, pool: SharedPool) -> None:
    lost(root, pool, "data")
    assert not check(root)["dead rows"].startswith("0 ")
    assert rows(root / "data" / "mien.db", "SELECT id FROM subjects") == []
    assert check(root)["dead rows"].startswith("0 ")


def test_discarded_changes_do_not_come_back_after_a_recorded_restore(root: Path, pool: SharedPool) -> None:
    lost(root, pool, "data")
    restored_to = utc_now() - timedelta(hours=1)
    assert "recorded" in check(root, "--data-of", restored_to.isoformat())["restore"]
    shutil.rmtree(root / "older")
    with serving(root, pool, toy_card()):
        pass
    without_record = shutil.copytree(root / "data", root / "older")
    assert "recorded" in check(root, "--data-of", (restored_to - timedelta(hours=1)).isoformat())["restore"]
    with serving(root, pool, toy_card()):
        pass

    shutil.rmtree(root / "data")
    shutil.copytree(without_record, root / "data")
    assert "old copy was put there" in check(root, passes=False)["stores"]
    assert "was discarded" in check(root, "--data-of", restored_to.isoformat(), passes=False)["restore"]


@pytest.mark.parametrize("options", [["--data-of", "yesterday"], ["--data-of", "2026-11-23T12:00:00"]])
def test_time_needs_its_zone(root: Path, options: list[str]) -> None:
    assert run_here(root, "restore-check", *options).exit_code == 2
