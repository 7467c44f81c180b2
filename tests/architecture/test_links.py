"""Every relative link in a page leads to a file that exists, and every anchor to a heading of that file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)
PAGE_NAME = re.compile(r"\bdocs/[\w./-]+\.(?:md|svg|json)\b")

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
"""Every page of the project, by path."""

WITH_PAGE_NAMES = ["app", "tests", "benchmarks", "examples", "fuzz", "migrations", "notices"]
"""Folders whose files name pages in comments, docstrings and messages."""


def anchors(text: str) -> set[str]:
    """Return the anchors of a page, made from its headings as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.findall(CODE.sub("", text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = sum(1 for known in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", known))
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def broken_links(page: Path, text: str) -> Iterator[str]:
    """Yield each relative link of *page* whose file or anchor does not exist."""
    for target in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if path and not file.exists():
            yield target
        elif anchor and file.suffix == ".md":
            there = text if file == page else file.read_text("utf-8")
            if anchor not in anchors(there):
                yield target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_exists(page: Path) -> None:
    assert not list(broken_links(page, page.read_text("utf-8")))


def test_every_page_named_in_the_code_exists() -> None:
    files = [file for folder in WITH_PAGE_NAMES for file in (ROOT / folder).rglob("*") if file.suffix in {".py", ".md"}]
    files += [ROOT / name for name in ("Makefile", "Dockerfile", "compose.yaml", "pyproject.toml")]
    named = {(file, name) for file in files for name in PAGE_NAME.findall(file.read_text("utf-8"))}

    assert named
    assert not [f"{file.relative_to(ROOT)}: {name}" for file, name in named if not (ROOT / name).exists()]


def test_broken_links_are_found(tmp_path: Path) -> None:
    text = "# Known `limits`\n[a](#known-limits) [b](#unknown) [c](gone.md) [d](https://example.org/gone)\n"

    assert list(broken_links(tmp_path / "page.md", text)) == ["#unknown", "gone.md"]
    assert anchors("# Keys: how?\n```\n# no heading\n```\n## Keys how\n") == {"keys-how", "keys-how-1"}
