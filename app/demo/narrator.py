"""Prints the story: numbered steps, requests, answers and checks.

Made for a projector: 80 columns, no meaning in colour alone, readable without Unicode.
"""

import json
import textwrap
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 80
"""Columns."""
LONGEST_WORD = 22
"""Characters. A longer value is an id, a hash or a token; only its beginning is shown."""
DIGITS = 3
"""Digits of a number after the point."""
REQUEST_LINES = 2
ASCII_MARKS = {"✔": "ok", "✘": "NO", "…": "..."}


class StepFailedError(Exception):
    """A check failed."""

    def __init__(self, expected: str, result: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.result = result


class Narrator:
    """Prints the steps and their checks; the first failed check ends the story."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, WIDTH)
        self.steps = 0
        self.checks = 0

    def part(self, title: str) -> None:
        """Begin a part of the story."""
        self._print("")
        self._print(f"{title} ".ljust(self._width, "-"), style="bold")

    def step(self, text: str) -> None:
        """Begin a step: one or two sentences about it."""
        self.steps += 1
        self._print("")
        self._wrap(text, first=f"{self.steps:>2}  ", style="bold")

    def request(self, line: str) -> None:
        """Show a request or a command."""
        self._wrap(line, first="      ", style="cyan", max_lines=REQUEST_LINES)

    def note(self, text: str) -> None:
        """Show an explanation."""
        self._wrap(text, first="      ")

    def check(self, claim: str, *, passed: bool, result: str = "", max_lines: int = 9) -> None:
        """Show whether *claim* is true; *result* is shown if it is not.

        Raises:
            StepFailedError: it is not.
        """
        if not passed:
            self._wrap(claim, first="    ✘ ", style="bold red", max_lines=max_lines)
            raise StepFailedError(claim, result)
        self.checks += 1
        self._wrap(claim, first="    ✔ ", style="green", max_lines=max_lines)

    def failure(self, error: StepFailedError, log: str) -> None:
        """Show the failed check, the actual result, and the end of the service's application log."""
        self._print("")
        self._wrap(error.expected, first="      expected: ")
        self._wrap(error.result or "not so", first="      result:   ", max_lines=20)
        self._print("      The end of the service's application log:")
        for line in log.splitlines():
            self._wrap(line, first="      | ", max_lines=4)

    def _wrap(self, text: str, *, first: str, style: str = "", max_lines: int = 9) -> None:
        lines = textwrap.wrap(
            self._printable(text),
            self._width,
            initial_indent=self._printable(first),
            subsequent_indent=" " * len(first),
            max_lines=max_lines,
            placeholder=self._printable(" …"),
            break_on_hyphens=False,
        )
        for line in lines:
            self._print(line, style=style)

    def _print(self, line: str, *, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _printable(self, text: str) -> str:
        if self._console.options.ascii_only:
            for mark, replacement in ASCII_MARKS.items():
                text = text.replace(mark, replacement)
        return text


def shorten(value: Any) -> Any:  # noqa: ANN401 - any JSON value, of which the same shape comes back
    """Return a JSON value with its long words cut and its numbers rounded."""
    match value:
        case dict():
            return {key: shorten(item) for key, item in value.items()}
        case list():
            return [shorten(item) for item in value]
        case float():
            return round(value, DIGITS)
        case str() if len(value) > LONGEST_WORD and " " not in value:
            return value[:9] + "…"
        case _:
            return value


def one_line(value: object) -> str:
    """Return a JSON value, shortened, in one line."""
    return json.dumps(shorten(value), ensure_ascii=False)
