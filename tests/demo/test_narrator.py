"""The story is readable on a projector: 80 columns, without colour, without Unicode."""

import io

import pytest
from rich.console import Console

from app.demo.narrator import WIDTH, Narrator, StepFailedError, one_line, shorten

LONG = "a sentence that goes on, and on, and never seems to come to an end, " * 3


def narrate(console: Console) -> str:
    """Print a check that passes and one that fails; return the text."""
    narrator = Narrator(console)
    narrator.part("A part")
    narrator.step(LONG)
    narrator.request(f"POST /v1/subjects {LONG}")
    narrator.check(LONG, passed=True)
    with pytest.raises(StepFailedError) as failure:
        narrator.check("this … passes", passed=False, result="that")
    narrator.failure(failure.value, "first line\nlast line")
    text = console.file.getvalue() if isinstance(console.file, io.StringIO) else ""
    assert (narrator.steps, narrator.checks) == (1, 1)
    return text


def test_no_line_is_too_long_for_a_projector() -> None:
    text = narrate(Console(file=io.StringIO(), width=200))

    assert max(map(len, text.splitlines())) <= WIDTH


def test_failure_shows_the_expected_and_the_actual_result_and_the_application_log() -> None:
    text = narrate(Console(file=io.StringIO(), width=80))

    assert "✔ a sentence" in text
    assert "✘ this … passes" in text
    assert "expected: this … passes" in text
    assert "result:   that" in text
    assert "| last line" in text


def test_marks_are_words_without_unicode() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    narrate(Console(file=stream, width=80))
    stream.flush()
    text = stream.buffer.getvalue().decode() if isinstance(stream.buffer, io.BytesIO) else ""

    assert "ok a sentence" in text
    assert "NO this ... passes" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_long_values_are_shortened() -> None:
    assert shorten({"id": "0123456789" * 4, "list": ["word", 3]}) == {"id": "012345678…", "list": ["word", 3]}
    assert one_line({"detail": "a long sentence is not an id"}) == '{"detail": "a long sentence is not an id"}'
