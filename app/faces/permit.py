"""The permit: without one, no image is decoded and no face measured (law 1).

`mien evaluate` measures images that nobody enrolled, to count an engine's errors: it has no grants, and needs a
statement.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID


class Purpose(StrEnum):
    """What a person can consent to (ISO/IEC TS 27560: purpose)."""

    VERIFICATION = "verification"
    """One relying party may compare a probe with the reference of the person it claims to be (1:1)."""
    IDENTIFICATION = "identification"
    """One relying party may find the person among the members of its gallery (1:N)."""
    TEMPLATE_RENEWAL = "template_renewal"
    """Mien may keep the enrolled photos, sealed, to make a new template when the engine changes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A proof, held by the caller for one job, that grants in force allow images to be measured.

    Only ``app.consent`` makes one; a lint says so. It never crosses the process boundary to a worker.
    """

    grant_ids: tuple[UUID, ...]
    """The grants it rests on; never empty."""
    keeps_photos: bool = False
    """Whether the re-encoded photos may leave the worker (the person's `template_renewal` grant)."""


PeopleAgreed = Literal["yes", "no", "unknown"]
"""Whether the people in the images agreed to this use of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatement:
    """What an operator said of images that are measured to count an engine's errors, and for nothing else.

    Only ``app.evaluation`` makes one; a lint says so. It keeps no photos.

    Raises:
        ValueError: it says nothing.
    """

    origin: str
    """Where the images came from, in the operator's words; never blank."""
    agreed: PeopleAgreed

    def __post_init__(self) -> None:
        """Refuse an empty statement: it is none."""
        if not self.origin.strip():
            raise ValueError("an empty statement is none")
