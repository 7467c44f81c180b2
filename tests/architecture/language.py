"""Count faults of plain language: banned words, clauses that begin with "What", and long sentences."""

import ast
import io
import json
import re
import tokenize
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT, Module, modules

MAX_SENTENCE_WORDS = 25
RULE_FILES = {"tests/architecture/language.py", "tests/architecture/test_language.py"}
"""Files that quote the banned words."""

BANNED = re.compile(r"\b(?:what(?: is|[']s)|nobody|somebody|anybody|whoever|whatever)\b", re.IGNORECASE)
"""Words that hide the actor or the thing meant. `docs/glossary.md` has the nouns to use instead."""

WHAT_CLAUSE = re.compile(r"^What\b[^?\n]*$(?<![?])", re.MULTILINE)
"""A line that begins with a clause in place of a noun: "What a worker reads". A question ends in a question mark."""

QUOTED = re.compile(r"[\"“](?:what is|what|nobody|somebody|anybody|whoever|whatever)[\"”,]", re.IGNORECASE)
"""A banned word in quotation marks: the rule itself, quoted."""

DIALECT = re.compile(
    r"\b(?:what|anew|spell|noting|noted|telling|told|forgetting|leaving|giving|beginning|lasting|sweep|purged?)\b"
)
"""Words that names of operations and steps must not have: a newcomer would not guess them."""

FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
COMMENT_CODE = re.compile(r"^(?:type:|noqa|pragma:|fmt:|!)")
CRASH_POINTS = {"Operation", "operation", "step"}
SHORTEST_PROSE = 4
"""Words; a shorter string is a name rather than a sentence."""


@dataclass(frozen=True)
class Prose:
    """One text that people read.

    Args:
        path: the file, relative to the project.
        line: its first line there.
        text: the words, without the marks of a comment or a heading.
    """

    path: str
    line: int
    text: str

    def word_count(self) -> int:
        """Return the number of words."""
        return len(self.text.split())

    def banned(self) -> list[str]:
        """Return each banned word, with its place."""
        text = QUOTED.sub("", self.text)
        matches = [*BANNED.finditer(text), *WHAT_CLAUSE.finditer(text)]
        lines = [self.line + text[: match.start()].count("\n") for match in matches]
        return [f"{self.path}:{line}: {match.group()[:60]!r}" for line, match in zip(lines, matches, strict=True)]

    def long_sentences(self) -> list[str]:
        """Return each sentence that has more than `MAX_SENTENCE_WORDS` words."""
        sentences = re.split(r"(?<=[.!?:])\s+|\n\s*\n|\n\s*[-*] |\n +\w+: | \| ", self.text)
        return [
            f"{self.path}:{self.line}: {len(s.split())} words: {s[:60]!r}"
            for s in sentences
            if len(s.split()) > MAX_SENTENCE_WORDS
        ]


def docstrings(module: Module) -> Iterator[Prose]:
    """Yield the docstrings of a module, and the strings below its constants and fields."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Prose(module.path, node.lineno, node.value.value)


def comments(module: Module) -> Iterator[Prose]:
    """Yield the comments of a module; lines that follow each other are one text."""
    block: list[str] = []
    start = 0
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type != tokenize.COMMENT:
            continue
        words = token.string.lstrip("#").strip()
        line = token.start[0]
        if COMMENT_CODE.match(words):
            continue
        if block and line == start + len(block):
            block.append(words)
            continue
        if block:
            yield Prose(module.path, start, "\n".join(block))
        block, start = [words], line
    if block:
        yield Prose(module.path, start, "\n".join(block))


def messages(module: Module) -> Iterator[Prose]:
    """Yield the sentences in a module's other strings: messages, titles, descriptions, help."""
    docs = {
        id(node.value) for node in ast.walk(module.tree) if isinstance(node, ast.Expr) and hasattr(node.value, "value")
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            prose = Prose(module.path, node.lineno, node.value)
            if prose.word_count() >= SHORTEST_PROSE:
                yield prose


def crash_point_names(module: Module) -> Iterator[Prose]:
    """Yield the names of operations and steps in a module, also those shorter than a sentence."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in CRASH_POINTS:
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield Prose(module.path, part.lineno, part.value)


def toml_prose(path: Path) -> Iterator[Prose]:
    """Yield the comments and the sentences of a TOML file."""
    name, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#"):
            yield Prose(name, number, line.lstrip("# "))
    yield from openapi_prose(tomllib.loads(text), name)


def data_prose() -> list[Prose]:
    """Return the sentences in the TOML files and in the published JSON schemas."""
    files = [ROOT / "pyproject.toml", *sorted((ROOT / "app").rglob("*.toml"))]
    schemas = sorted((ROOT / "docs").rglob("*.schema.json"))
    found = [prose for path in files for prose in toml_prose(path)]
    return found + [
        prose for path in schemas for prose in openapi_prose(json.loads(path.read_text("utf-8")), path.name)
    ]


def pages() -> list[Path]:
    """Return the pages and notices that people read."""
    found = [
        ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "NOTICE", "Makefile")
    ]
    for folder in ("docs", "notices", "benchmarks", "tests/images"):
        found += sorted((ROOT / folder).rglob("*.md"))
    return found + sorted((ROOT / "app").rglob("*.html")) + sorted((ROOT / "notices").rglob("*.txt"))


def page_prose(path: Path) -> Prose:
    """Return a page's words: no code blocks, no marks of headings, lists, tables and quotations."""
    text = FENCE.sub(lambda block: "\n" * block.group().count("\n"), path.read_text("utf-8"))
    lines = [re.sub(r"^[\s#>*|-]+", "", line) for line in text.split("\n")]
    return Prose(path.relative_to(ROOT).as_posix(), 1, "\n".join(lines))


def openapi_prose(part: object, place: str = "openapi.json") -> Iterator[Prose]:
    """Yield the sentences of an OpenAPI document, or of a part of one: summaries, descriptions, texts of examples."""
    if isinstance(part, dict | list):
        for name, inner in part.items() if isinstance(part, dict) else enumerate(part):
            yield from openapi_prose(inner, f"{place}/{name}")
    elif isinstance(part, str):
        prose = Prose(place, 1, part)
        if prose.word_count() >= SHORTEST_PROSE:
            yield prose


def code_prose(folder: str) -> list[Prose]:
    """Return every text in the code below *folder*, except the examples of this rule."""
    found = [module for module in modules(folder) if module.path not in RULE_FILES]
    return [prose for module in found for part in (docstrings, comments, messages) for prose in part(module)]


def all_prose() -> list[Prose]:
    """Return every text in the program, its data files and the pages."""
    return code_prose("app") + data_prose() + [page_prose(path) for path in pages()]
