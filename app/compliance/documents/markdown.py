"""A paper as Markdown: derived from the document as it is, so that nothing of it can be left out."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

CODE = {"command"}
"""Fields that are typed, not read."""

_MARKS = re.compile(r"([\\`*\[\]<>|#])")


def escaped(value: object) -> str:
    """Return a value as plain words: what somebody called a relying party must not become a heading or a link."""
    return _MARKS.sub(r"\\\1", " ".join(said(value).split()))


def said(value: object) -> str:
    """Return a value in words."""
    match value:
        case bool():
            return "yes" if value else "no"
        case None:
            return "-"
        case list() | tuple():
            return "; ".join(said(one) for one in value)
    return str(value)


def render(paper: Mapping[str, Any]) -> str:
    """Return a paper: its title, a paragraph of who and when, and a section for each part."""
    parts = dict(paper)
    lines = [f"# {escaped(parts.pop('title'))}", ""]
    for name, value in parts.items():
        lines += [f"## {_heading(name)}", "", *_part(value), ""]
    return "\n".join(lines)


def _heading(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _part(value: object) -> Iterator[str]:
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
    """Give the lines of a table of mappings, with a column for each field."""
    yield "| " + " | ".join(_heading(name) for name in rows[0]) + " |"
    yield "|" + "---|" * len(rows[0])
    for row in rows:
        yield "| " + " | ".join(_cell(name, value) for name, value in row.items()) + " |"


def _cell(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return escaped([f"{one} {said(rate)}" for one, rate in value.items()])
    return f"`{said(value)}`" if name in CODE else escaped(value)
