"""Directories that ship with the program: migrations, notices and pages."""

import re
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_directory(name: str) -> Path:
    """Return the directory *name*: in an installed wheel inside the package, in a source checkout beside it."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def locate_pages(text: str) -> str:
    """Return *text* with the whole path of each page that it names, unless `docs/…` already leads there."""
    pages = shipped_directory("docs")
    if Path("docs").resolve() == pages.resolve():
        return text
    return re.sub(r"\bdocs/(?=[\w/-]+\.md\b)", lambda _: f"{pages}/", text)
