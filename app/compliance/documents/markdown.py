"""Render a document as Markdown. Every field of the document is rendered, so none can be forgotten."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.kit.text import escape_markdown

CODE_FIELDS = {"command"}
"""Fields to type into a terminal."""


def escaped(value: object) -> str:
    """Return a value as plain text: the name of a relying party must not become a heading or a link."""
    return escape_markdown(in_words(value))


def in_words(value: object) -> str:
    """Return a value in words."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case list() | tuple():
            return "; ".join(in_words(one) for one in value)
    return str(value)


def render(document: Mapping[str, Any]) -> str:
    """Return a document as Markdown: its title, and a section for each other field."""
    sections = dict(document)
    lines = [f"# {escaped(sections.pop('title'))}", ""]
    for name, value in sections.items():
        lines += [f"## {_heading(name)}", "", *_section(value), ""]
    return "\n".join(lines)


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _section(value: object) -> Iterator[str]:
    match value:
        case Mapping():
            yield from (f"- {_heading(str(name))}: {_cell(str(name), one)}" for name, one in value.items())
        case [Mapping(), *_] as rows:
            yield from table(rows)
        case []:
            yield "none"
        case list():
            yield from (f"- {escaped(one)}" for one in value)
        case _:
            yield escaped(value)


def table(rows: Sequence[Any]) -> Iterator[str]:
    """Yield the lines of a table with a row for each mapping and a column for each field."""
    yield "| " + " | ".join(_heading(name) for name in rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        yield "| " + " | ".join(_cell(name, value) for name, value in row.items()) + " |"


def _cell(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return escaped([f"{one} {in_words(rate)}" for one, rate in value.items()])
    return f"`{in_words(value)}`" if name in CODE_FIELDS else escaped(value)
