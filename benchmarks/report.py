"""The printed report: machine, time, load, and plain tables."""

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


def say(line: str = "") -> None:
    """Print one line, now."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def machine() -> str:
    """Return the date, the machine and how busy it is: load averages of 1, 5 and 15 minutes, this program included."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        if line.startswith("model name")
    ]
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    cpu = f"{len(names)} x {names[0]}" if names else f"{os.cpu_count()} cores"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cpu}, Python {platform.python_version()}, load {load}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table whose numbers stand under one another."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    say("| " + " | ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)) + " |")
    say("|" + "|".join("-" * (width + 1) + (":" if number else "-") for number, width in enumerate(widths)) + "|")
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        say("| " + " | ".join([row[0].ljust(widths[0]), *cells[1:]]) + " |")


def p90(values: Sequence[float]) -> float:
    """Return the value that nine in ten are below."""
    return statistics.quantiles(values, n=10)[-1]


def cpu_s(root: int) -> float:
    """Return the processor seconds that a process and its children have used; other programs' load is not in it."""
    used = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it ended meanwhile
            fields = stat.read_text("utf-8").rpartition(")")[2].split()
            if root in {int(stat.parent.name), int(fields[1])}:
                used += int(fields[11]) + int(fields[12])
    return used / os.sysconf("SC_CLK_TCK")
