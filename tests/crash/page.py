"""The table in `docs/reference/reliability.md`: written by `make reliability`, and compared by every other run."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.crash.process_launcher import Spot

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "reliability.md"
BEGIN, END = "<!-- The table begins: written by `make reliability`. -->", "<!-- The table ends. -->"
HEAD = ("| asked for | killed at | the caller was answered | after the restart |", "|---|---|---|---|")
ANSWERED = Spot("", "after the answer")


@dataclass(frozen=True)
class Row:
    """One trial, as a row of the table."""

    asked: str
    spot: Spot
    answered: bool
    outcome: str

    def __str__(self) -> str:
        """Return the Markdown row."""
        nth = f" ({self.spot.nth})" if self.spot.nth > 1 else ""
        inner = f"{self.spot.operation}: " if self.spot.operation not in ("", self.asked) else ""
        return f"| {self.asked} | {inner}{self.spot.step}{nth} | {'yes' if self.answered else 'no'} | {self.outcome} |"


def rows(page: Path = PAGE) -> list[str]:
    """Return the rows of the table on the page."""
    table = page.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    return [line for line in table.splitlines() if line.startswith("| ") and line not in HEAD]


def rows_of(asked: str, page: Path = PAGE) -> list[str]:
    """Return the rows of one operation."""
    return [row for row in rows(page) if asked_in(row) == asked]


def asked_in(row: str) -> str:
    """Return the operation of a row."""
    return row.split(" | ", maxsplit=1)[0].removeprefix("| ")


def write(asked: str, lines: Iterable[Row], order: list[str], page: Path = PAGE) -> None:
    """Replace the rows of one operation by *lines*, and remove rows of operations that are not in *order*."""
    kept = [row for row in rows(page) if asked_in(row) != asked and asked_in(row) in order]
    table = sorted([*kept, *map(str, lines)], key=lambda row: order.index(asked_in(row)))
    before, _, rest = page.read_text("utf-8").partition(BEGIN)
    page.write_text("\n".join([f"{before}{BEGIN}", "", *HEAD, *table, "", f"{END}{rest.partition(END)[2]}"]), "utf-8")
