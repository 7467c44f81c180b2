"""`docs/rights.md` is run as it stands, in one shell, and each block prints what the page says it prints."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.rest.program import program

PAGE = ROOT / "docs" / "rights.md"
BLOCK = re.compile(r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
GDPR = ["4(14)", "5", "6", "7", "9", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "25", "30", "32", "33"]
PROGRAMS = {"python": f'exec "{sys.executable}" "$@"', "mien": f'exec "{sys.executable}" -m app "$@"'}
"""Stand in for those of `.venv`, wherever the tests run."""


@dataclass(frozen=True)
class Block:
    """Commands, and what they print."""

    commands: str
    prints: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in their order."""
    return [Block(commands, prints or "") for commands, prints in BLOCK.findall(text)]


def fits(printed: str, said: str) -> bool:
    """Say whether something was printed as the page says, where `…` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in said.strip().split("…"))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def run(found: Sequence[Block], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the blocks one after another in one shell; what each prints goes to a file of its own."""
    lines = ["set -euo pipefail"]
    for number, block in enumerate(found):
        lines.append(f"echo 'in block {number}' >&2\n{{\n{block.commands}\n}} >'{folder}/{number}'")
    return subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def play(page: Path, root: Path, folder: Path, **more: str) -> int:
    """Run a page on the service in *root*; gives the number of its blocks, each of which did what it says."""
    found = blocks(page.read_text("utf-8"))
    programs, printed = folder / "programs", folder / "printed"
    for made in (programs, printed):
        made.mkdir()
    for name, line in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o700)
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "MIEN_DATA_DIR": str(root / "data"),
        "MIEN_KEYS_DIR": str(root / "keys"),
        **more,
    }
    done = run(found, printed, environment)
    assert done.returncode == 0, done.stderr[-2000:]
    for number, block in enumerate(found):
        shown = (printed / str(number)).read_text()
        assert fits(shown, block.prints), f"{block.commands}\nprinted\n{shown}\nand not\n{block.prints}"
    return len(found)


def test_the_page_does_what_it_says(root: Path, tmp_path: Path) -> None:
    with program(root) as running:
        blocks_run = play(PAGE, root, tmp_path, API=str(running.client.base_url).rstrip("/"))

    assert blocks_run > 25


def test_every_article_has_its_place_and_every_link_its_end() -> None:
    text = PAGE.read_text("utf-8")
    headings = " ".join(re.findall(r"^#+ (.*)$", text, re.MULTILINE))

    assert [one for one in GDPR if not re.search(rf"\b{re.escape(one)}(?!\d)", headings)] == []
    for named in ("BIPA", "three types", "Opinion 11/2024", "5(1)(e)", "Clearview"):
        assert named in headings
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (PAGE.parent / link).exists(), link
    for path in re.findall(r"ARGS=(tests/\S+\.py)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("word", ["compliant", "guarantee", "certified", "100 %"])
def test_nothing_is_promised(word: str) -> None:
    assert word not in PAGE.read_text("utf-8").lower()


def test_what_is_printed_otherwise_is_found() -> None:
    assert fits("a b c\n", "a … c")
    assert not fits("a b d\n", "a … c")
    assert not fits("", "a")
    assert blocks("```bash\nx\n```\n\n```text\ny\n```\n\n```bash\nz\n```\n") == [Block("x\n", "y\n"), Block("z\n", "")]
