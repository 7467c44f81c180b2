"""Directories that ship with the program and lie outside the package in a source checkout: migrations, notices."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def shipped_directory(name: str) -> Path:
    """Return the directory *name*: inside the package in an installed wheel, beside the package in a checkout."""
    installed = _PACKAGE / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
