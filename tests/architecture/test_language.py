"""The language rule: no banned words, no sentence too long to read at once. The ceilings only ever fall."""

from collections import Counter

import pytest

from tests.architecture.language import (
    DIALECT,
    Prose,
    all_prose,
    code_prose,
    comments,
    crash_point_names,
    docstrings,
    messages,
    openapi_prose,
    toml_prose,
)
from tests.architecture.source import ROOT, Module, modules
from tests.support.service_fixture import RunningService

BANNED_PER_10_000_WORDS = 0.65
"""Lower it whenever the count falls; never raise it."""

LONG_SENTENCES = 2
"""In the docstrings of `app/`. Lower it whenever the count falls; never raise it."""

REST = ("migrations", "tests", "benchmarks", "fuzz", "examples")
"""Folders of code beside `app/`. They have no banned word and no long sentence."""

WORST_FILES = 15


def by_file(faults: list[str]) -> str:
    """Return the worst files first, each with its number of faults."""
    worst = Counter(fault.partition(":")[0] for fault in faults).most_common(WORST_FILES)
    return "\n".join(f"{number:5} {path}" for path, number in worst)


def test_banned_words_stay_below_the_ceiling() -> None:
    texts = all_prose()
    words = sum(text.word_count() for text in texts)
    found = [fault for text in texts for fault in text.banned()]
    rate = len(found) / words * 10_000
    print(f"{len(found)} banned words in {words}: {rate:.1f} per 10,000", by_file(found), *found, sep="\n")  # noqa: T201

    assert words > 10_000
    assert rate <= BANNED_PER_10_000_WORDS


def test_long_sentences_stay_below_the_ceiling() -> None:
    found = [fault for module in modules() for text in docstrings(module) for fault in text.long_sentences()]
    print(f"{len(found)} long sentences", by_file(found), *found, sep="\n")  # noqa: T201

    assert len(found) <= LONG_SENTENCES


@pytest.mark.parametrize("folder", REST)
def test_code_beside_the_program_has_no_banned_word_and_no_long_sentence(folder: str) -> None:
    texts = code_prose(folder)
    faults = [fault for text in texts for fault in text.banned()]
    faults += [fault for module in modules(folder) for text in docstrings(module) for fault in text.long_sentences()]

    assert texts
    assert not faults, "\n".join(["", *faults])


def test_names_of_operations_and_steps_are_plain() -> None:
    found = [*modules(), *modules("tests/crash")]
    names = [name for module in found for name in crash_point_names(module)]
    faults = [f"{name.path}:{name.line}: {name.text!r}" for name in names if DIALECT.search(name.text)]

    assert {"maintenance", "stage migrated"} <= {name.text for name in names}
    assert not faults, "\n".join(["", *faults])


def test_openapi_texts_have_no_banned_word_and_no_long_sentence(service: RunningService) -> None:
    texts = list(openapi_prose(service.client.get("/openapi.json").json()))
    # The length of a text in an example is not ours to choose: one is the name of a published trial.
    described = [text for text in texts if "/examples/" not in text.path]
    faults = [fault for text in texts for fault in text.banned()]
    faults += [fault for text in described for fault in text.long_sentences()]

    assert len(texts) > 200
    assert not faults, "\n".join(["", *faults])


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Nobody knows what is held.", 2),
        ('The word “nobody” is banned, and so is "what is".', 0),
        ("What a worker reads", 1),
        ("What does a worker read?", 0),
        ("Return the rows, somewhat sorted.", 0),
        ("Does whatever\nwhoever says", 2),
    ],
)
def test_banned_words_are_counted(text: str, count: int) -> None:
    assert len(Prose("a.md", 1, text).banned()) == count


def test_long_sentences_are_counted() -> None:
    assert Prose("a.py", 1, "word " * 25 + "end.").long_sentences()
    assert not Prose("a.py", 1, "word " * 20 + "end. " + "word " * 20).long_sentences()


def test_openapi_texts_are_read() -> None:
    document = {"paths": {"/a": {"summary": "Return all of it"}}, "x": [{"description": "for whoever asks for it"}]}
    texts = list(openapi_prose(document))

    assert [text.path for text in texts] == ["openapi.json/paths//a/summary", "openapi.json/x/0/description"]
    assert texts[1].banned()


def test_docstrings_comments_and_messages_are_read() -> None:
    source = '"""One."""\n# Two\n# three\nX = "four"\n"""Five."""\nY = f"a message of {X} words"\n'
    module = Module("app/x.py", source)

    assert [text.text for text in docstrings(module)] == ["One.", "Five."]
    assert [text.text for text in comments(module)] == ["Two\nthree"]
    assert [(text.line, text.text) for text in messages(Module("a.py", 'raise X("no such key here")'))] == [
        (1, "no such key here")
    ]


def test_comments_and_sentences_of_toml_are_read() -> None:
    texts = [text.text for text in toml_prose(ROOT / "app" / "rights" / "erasure_kept.toml")]

    assert texts[0].startswith("Data that remains after an erasure")
    assert "messages that a relying party has not yet received" in texts


def test_names_of_operations_and_steps_are_read() -> None:
    source = '@operation("noting what was used")\ndef f():\n    crash_points.step(f"log of {x} emptied")\n'
    names = [name.text for name in crash_point_names(Module("app/x.py", source))]

    assert names == ["noting what was used", "log of ", " emptied"]
    assert DIALECT.search(names[0])
