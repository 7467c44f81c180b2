"""The story can be read from the back of the room: 80 columns, without colour, without Unicode."""

import io

import pytest
from rich.console import Console

from app.demo.narrator import WIDTH, StepFailedError, Teller, short, shown

LONG = "a sentence that goes on, and on, and never seems to come to an end, " * 3


def told(console: Console) -> str:
    """Tell a step that holds and one that does not."""
    teller = Teller(console)
    teller.act("An act")
    teller.step(LONG)
    teller.sent(f"POST /v1/subjects {LONG}")
    teller.check(LONG, held=True)
    with pytest.raises(StepFailedError) as failure:
        teller.check("this … holds", held=False, came="that")
    teller.failed(failure.value, "first line\nlast line")
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert (teller.steps, teller.checks) == (1, 1)
    return text


def test_no_line_is_longer_than_a_projector_shows() -> None:
    text = told(Console(file=io.StringIO(), width=200))

    assert max(map(len, text.splitlines())) <= WIDTH


def test_failure_says_what_was_expected_what_came_and_the_log() -> None:
    text = told(Console(file=io.StringIO(), width=80))

    assert "✔ a sentence" in text
    assert "✘ this … holds" in text
    assert "expected: this … holds" in text
    assert "came:     that" in text
    assert "| last line" in text


def test_marks_are_words_where_there_is_no_unicode() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    told(Console(file=stream, width=80))
    stream.flush()
    text = stream.buffer.getvalue().decode() if isinstance(stream.buffer, io.BytesIO) else ""

    assert "ok a sentence" in text
    assert "NO this ... holds" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_long_values_are_shown_by_their_beginning() -> None:
    assert short({"id": "0123456789" * 4, "list": ["word", 3]}) == {"id": "012345678…", "list": ["word", 3]}
    assert shown({"detail": "a long sentence is not an id"}) == '{"detail": "a long sentence is not an id"}'
