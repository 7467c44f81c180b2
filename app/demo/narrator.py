"""How the story is told: numbered steps, what was sent, what came, and whether it is as it should be.

Made for a projector: 80 columns, no meaning in colour alone, readable where there is no Unicode.
"""

import json
import textwrap
from typing import Any

from rich.console import Console
from rich.text import Text

WIDTH = 80
"""Columns."""
LONG = 22
"""Characters. A longer value is shown by its beginning: it is an id, a hash or a token."""
DIGITS = 3
"""Of a number, after the point."""
ANSWER_LINES = 2
"""Lines that an answer may fill."""
PLAIN = {"✔": "ok", "✘": "NO", "…": "..."}
"""Marks in words."""


class StepFailedError(Exception):
    """A step did not hold: what was expected, and what came instead."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(expected)
        self.expected = expected
        self.came = came


class Teller:
    """Tells the steps, one after another, and stops at the first that does not hold."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(console.width, WIDTH)
        self.steps = 0
        self.checks = 0

    def act(self, title: str) -> None:
        """Begin a part of the story."""
        self._say("")
        self._say(f"{title} ".ljust(self._width, "-"), style="bold")

    def step(self, title: str) -> None:
        """Begin a step: one sentence that says what happens."""
        self.steps += 1
        self._say("")
        self._wrap(title, first=f"{self.steps:>2}  ", style="bold")

    def sent(self, line: str) -> None:
        """Show what is sent."""
        self._wrap(line, first="      ", style="cyan", most=ANSWER_LINES)

    def note(self, text: str) -> None:
        """Say something that is not a check."""
        self._wrap(text, first="      ")

    def check(self, claim: str, *, held: bool, came: str = "", most: int = 9) -> None:
        """Say whether *claim* held; *came* is what there was instead.

        Raises:
            StepFailedError: it did not.
        """
        if not held:
            self._wrap(claim, first="    ✘ ", style="bold red", most=most)
            raise StepFailedError(claim, came)
        self.checks += 1
        self._wrap(claim, first="    ✔ ", style="green", most=most)

    def failed(self, failure: StepFailedError, log: str) -> None:
        """Say what was expected, what came, and what the service's log ends with."""
        self._say("")
        self._wrap(failure.expected, first="      expected: ")
        self._wrap(failure.came or "not so", first="      came:     ", most=20)
        self._say("      The service's log ends:")
        for line in log.splitlines():
            self._wrap(line, first="      | ", most=4)

    def _wrap(self, text: str, *, first: str, style: str = "", most: int = 9) -> None:
        indent = self._spelled(first)
        lines = textwrap.wrap(
            self._spelled(text),
            self._width,
            initial_indent=indent,
            subsequent_indent=" " * len(first),
            max_lines=most,
            placeholder=self._spelled(" …"),
            break_on_hyphens=False,
        )
        for line in lines:
            self._say(line, style=style)

    def _say(self, line: str, *, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)

    def _spelled(self, text: str) -> str:
        if self._console.options.ascii_only:
            for mark, plain in PLAIN.items():
                text = text.replace(mark, plain)
        return text


def short(value: Any) -> Any:  # noqa: ANN401 - any JSON value, of which the same shape comes back
    """Return a JSON value with its long strings and numbers cut, to be shown."""
    match value:
        case dict():
            return {key: short(item) for key, item in value.items()}
        case list():
            return [short(item) for item in value]
        case float():
            return round(value, DIGITS)
        case str() if len(value) > LONG and " " not in value:
            return value[:9] + "…"
        case _:
            return value


def shown(value: object) -> str:
    """Write a JSON value in one line, to be shown."""
    return json.dumps(short(value), ensure_ascii=False)
