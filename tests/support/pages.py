"""A page whose commands are run as they stand, in one shell; each block prints what the page says it prints."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT

BLOCK = re.compile(r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)
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
    # A table is filled up with spaces, which no page keeps.
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, lines, re.DOTALL) is not None


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
        timeout=580,
        check=False,
    )


def check_page(page: Path, folder: Path, environment: Mapping[str, str]) -> int:
    """Run a page's blocks, and hold what each prints against what it says. Returns how many there are."""
    found = blocks(page.read_text("utf-8"))
    programs, printed = folder / "programs", folder / "printed"
    for one in (programs, printed):
        one.mkdir()
    for name, line in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{line}\n")
        (programs / name).chmod(0o700)
    told = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **environment}
    done = run(found, printed, told)

    assert done.returncode == 0, done.stderr[-2000:]
    for number, block in enumerate(found):
        shown = (printed / str(number)).read_text()
        assert fits(shown, block.prints), f"{block.commands}\nprinted\n{shown}\nand not\n{block.prints}"
    return len(found)
