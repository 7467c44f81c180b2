"""Progress of long commands on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

Progress = Callable[[str], None]
"""Shows the present work, in a few words."""


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Show progress on standard error during the block, if that is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _work: None
        return
    with console.status("") as shown:
        yield lambda work: shown.update(f"{work} …")
