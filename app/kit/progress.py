"""Say on a terminal what takes long, while it takes long."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Tell = Callable[[str], None]
"""Told what is being done, in a few words, whenever that changes."""


@contextmanager
def telling() -> Iterator[Tell]:
    """Show it on standard error as long as the block lasts, if that is a terminal; say nothing to anything else."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _doing: None
        return
    with console.status("") as shown:
        yield lambda doing: shown.update(f"{doing} …")
