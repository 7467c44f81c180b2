"""Largest gallery that an engine's trial supports. Identification is refused beyond it."""

from itertools import takewhile
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict

FPIR: Final = 1e-3
"""Highest false positive identification rate: NIST SP 800-63A-4 asks for 1 stranger in 1,000 at most, in all groups."""
MIN_DIR: Final = 0.95
"""Members have to be found more often than this: NIST SP 800-63B-4 asks for a false non-match rate below 5 %."""


class GalleryRate(BaseModel):
    """One tested gallery: the share of its members' photos that are found, at the FPIR of the table."""

    model_config = ConfigDict(frozen=True)

    group: str | None
    """The group of the gallery and of all probes; None for everyone."""
    references: int
    """Photos in each member's reference."""
    gallery: int
    dir: float | None
    """None if the trial shows no threshold with that FPIR."""


class LargestGallery(NamedTuple):
    """The largest supported gallery, and the group that decides it."""

    people: int
    group: str | None


class Supports(BaseModel):
    """Galleries that were tried."""

    model_config = ConfigDict(frozen=True)

    source: str
    fpir: float
    """The false positive identification rate of all rows."""
    galleries: tuple[GalleryRate, ...]

    @property
    def references(self) -> list[int]:
        """The numbers of photos that were tried."""
        return sorted({row.references for row in self.galleries})

    def largest_gallery(self, references: int) -> LargestGallery:
        """Return the largest gallery in which members of every group are found often enough.

        Each group has a largest gallery up to which all tried ones keep `MIN_DIR` at `FPIR`; the smallest of them
        counts. More photos than in any row count as the most that were tried.

        Args:
            references: photos in each member's reference.
        """
        groups = dict.fromkeys(row.group for row in self.galleries)
        largest = (LargestGallery(self._largest_in(group, references), group) for group in groups)
        return min(largest, key=lambda one: one.people, default=LargestGallery(0, None))

    def as_document(self) -> dict[str, Any]:
        """Return the largest gallery by number of photos, with the rule that it follows."""
        return {
            "fpir": FPIR,
            "min_dir": MIN_DIR,
            "source": self.source,
            "largest_gallery": [
                {"references": references, **self.largest_gallery(references)._asdict()}
                for references in self.references
            ],
        }

    def _largest_in(self, group: str | None, references: int) -> int:
        tried = [row for row in self.galleries if row.group == group and row.references <= references]
        if not tried or self.fpir > FPIR:
            return 0
        most = max(row.references for row in tried)
        by_size = sorted((row for row in tried if row.references == most), key=lambda row: row.gallery)
        kept = takewhile(lambda row: row.dir is not None and row.dir > MIN_DIR, by_size)
        return max((row.gallery for row in kept), default=0)
