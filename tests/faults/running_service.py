"""The program under a tool that makes its disk or its clock fail."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Any
from uuid import uuid4

from tests.architecture.source import ROOT
from tests.faults.scenario import Scenario
from tests.support.launcher import Program, run_program

PEOPLE = ROOT / "tests" / "images" / "people"
PHOTOS = {1: "studio_portrait", 2: "amateur_selfie"}
TOOLS = ("fiu-run", "fiu-ctrl", "strace", "faketime")
SETTINGS: dict[str, Any] = {"MIEN_SQLITE_BUSY_S": "2", "MIEN_SWEEP_INTERVAL_S": "0.5"}


class FaultyProgram(Program):
    """A running `mien serve` whose system calls can be made to fail."""

    def scenario(self) -> Scenario:
        """Return a scenario with enrolled people and real faces."""
        return Scenario(self.client, self.party(f"Door {uuid4()}"), photo).set_up()

    def fault(self, *commands: str) -> None:
        """Choose the system calls that libfiu lets fail in the process from now on."""
        arguments = [part for command in commands for part in ("-c", command)]
        subprocess.run(["fiu-ctrl", "-f", str(self.root / "fiu"), *arguments, str(self.process.pid)], check=True)


def photo(person: int, variant: int) -> bytes:
    """Return a photo of one of the synthetic people."""
    return (PEOPLE / f"P{person:03}" / f"{PHOTOS[variant]}.jpg").read_bytes()


@contextmanager
def served(root: Path, *under: str, **settings: str) -> Iterator[FaultyProgram]:
    """Serve from the databases in *root*, started by the command *under*, until the block ends."""
    missing = [tool for tool in TOOLS if which(tool) is None]
    assert not missing, f"not on this machine: {missing}; apt-get install fiu-utils strace faketime"
    with run_program(root, under=under, **(SETTINGS | settings)) as program:
        yield FaultyProgram(program.root, program.process, program.client, program.settings)


def under_libfiu(root: Path) -> tuple[str, ...]:
    """Return the command that lets `FaultyProgram.fault` fail calls of the process, not of its engine workers."""
    return ("fiu-run", "-x", "-f", str(root / "fiu"))
