"""Directories that ship with the program, such as migrations and notices."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_directory(name: str) -> Path:
    """Return the directory *name*: in an installed wheel inside the package, in a source checkout beside it."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
