"""What enrolling refuses. All or nothing: one photo that will not do, and nothing is kept of any."""

from collections.abc import Sequence
from typing import Any

from app.faces.flaws import Flaw
from app.kit.errors import Problem


class NotTheSamePersonError(Problem):
    """The photos are not of one person."""

    status = 422
    slug = "not-the-same-person"
    title = "Not the same person"
    detail = (
        "These photos do not look like one person. Leave out the ones listed, or take them again. Nothing was kept."
    )

    def __init__(self, odd: Sequence[int]) -> None:
        """Take the indexes of the photos that do not fit."""
        photos = [{"index": i, "slug": self.slug, "detail": "This one does not look like the others."} for i in odd]
        super().__init__(photos=photos)


def refusals(flaws: Sequence[tuple[int, Flaw]]) -> list[dict[str, Any]]:
    """Say of each photo that will not do what to do about it."""
    return [{"index": index, "slug": flaw.slug, "detail": flaw.detail} for index, flaw in flaws]
