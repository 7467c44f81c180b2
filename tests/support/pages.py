"""Run the commands of a page in one shell, and compare the output of each block with the page."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT
from tests.support import command_client
from tests.support.launcher import command_server

BLOCK = re.compile(r"^```bash\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """Commands, and their output on the page."""

    commands: str
    output: str


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in their order."""
    return [Block(commands, output or "") for commands, output in BLOCK.findall(text)]


def fits(printed: str, on_page: str) -> bool:
    """Return whether the printed text is the one on the page, where `…` stands for any text."""
    pattern = ".*".join(re.escape(part) for part in on_page.strip().split("…"))
    # Tables end their lines with spaces, which no page keeps.
    lines = "\n".join(line.rstrip() for line in printed.strip().splitlines())
    return re.fullmatch(pattern, lines, re.DOTALL) is not None


def run(found: Sequence[Block], folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the blocks one after another in one shell; each writes its output to a file in *folder*."""
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


def check_page(page: Path, folder: Path, environment: Mapping[str, str], *, times: int = 1) -> int:
    """Run a page's blocks, compare their output with the page, and return the number of blocks.

    Args:
        times: how often all blocks run, in one shell: a reader may paste them again.
    """
    found = blocks(page.read_text("utf-8"))
    programs, printed = folder / "programs", folder / "printed"
    for directory in (programs, printed):
        directory.mkdir()
    # In place of those in `.venv`, which tests do not need.
    commands = {
        "python": f'exec "{sys.executable}" "$@"',
        "mien": f'exec "{sys.executable}" -S "{command_client.__file__}" "{command_server()}" "$@"',
    }
    for name, command in commands.items():
        (programs / name).write_text(f"#!/bin/sh\n{command}\n")
        (programs / name).chmod(0o700)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), **environment}
    done = run(found * times, printed, variables)

    assert done.returncode == 0, done.stderr[-2000:]
    for number, block in enumerate(found * times):
        output = (printed / str(number)).read_text()
        assert fits(output, block.output), f"{block.commands}\nprinted\n{output}\nand not\n{block.output}"
    return len(found)
