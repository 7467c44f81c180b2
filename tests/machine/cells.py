"""Values that the service chooses: ids, references, and times that the model cannot predict."""


class Cell:
    """A value that the service chose: any value, or one of a few, until the test has seen it."""

    def __init__(self, *options: object) -> None:
        self.options = options

    def takes(self, seen: object) -> bool:
        """Return whether the value may be *seen*, and if so keep it."""
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
    """Make a cell of a value in an answer; empty if there was no answer."""
    return Cell() if seen is None else Cell(seen)
