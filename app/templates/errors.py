"""Refusals of an enrolment as a whole. The flaws of one photo are in `app/faces/flaws.py`."""

from collections.abc import Sequence

from app.kit.errors import Problem


class NotTheSamePersonError(Problem):
    """The photos of an enrolment show more than one person."""

    status = 422
    slug = "not-the-same-person"
    title = "Not the same person"
    detail = (
        "These photos do not look like one person. Leave out the ones listed, or take them again. Nothing was kept."
    )

    def __init__(self, odd: Sequence[int]) -> None:
        """Take the indexes of the photos that do not match the others."""
        photos = [{"index": i, "slug": self.slug, "detail": "This photo does not look like the others."} for i in odd]
        super().__init__(photos=photos)
