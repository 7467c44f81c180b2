"""What the service chooses: ids, references, times that are not foreseen."""


class Cell:
    """A value that the service chose: anything, or one of a few, until it has been seen."""

    def __init__(self, *options: object) -> None:
        self.options = options

    def takes(self, seen: object) -> bool:
        """Say whether it may be *seen*; then it is that from now on."""
        if self.options and seen not in self.options:
            return False
        self.options = (seen,)
        return True

    @property
    def value(self) -> str | None:
        """Return the value, once it is known."""
        return str(self.options[0]) if len(self.options) == 1 else None

    def __repr__(self) -> str:
        return " or ".join(map(str, self.options)) or "anything"


def cell(seen: object) -> Cell:
    """Make a cell of what an answer said; empty if there was no answer."""
    return Cell() if seen is None else Cell(seen)
