"""The permit, without which no image is decoded and no face measured (law 1).

`mien evaluate` measures images of a trial, without grants. It needs the operator's statement of their origin.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from uuid import UUID


class Purpose(StrEnum):
    """Purpose of a consent (ISO/IEC TS 27560)."""

    VERIFICATION = "verification"
    """One relying party may compare a probe with the subject's reference (1:1)."""
    IDENTIFICATION = "identification"
    """One relying party may find the subject among the members of its gallery (1:N)."""
    TEMPLATE_RENEWAL = "template_renewal"
    """Mien may keep the enrolled photos, sealed, to renew the template after a change of engine."""


class PhotoUse(StrEnum):
    """The use of a photo, which decides how strictly it is judged (`app/faces/quality.py`)."""

    ENROLMENT = "enrolment"
    """Becomes part of a reference: two faces, or a face turned to the side, would harm each later comparison."""
    PROBE = "probe"
    """Compared once. A bystander and a face turned further are accepted."""


class JobKind(StrEnum):
    """A kind of work for the engine. Kinds take turns, so that none waits for all jobs of another."""

    ENROLMENT = "enrolment"
    VERIFICATION = "verification"
    BACKGROUND = "background"
    """Work that no caller waits for; only while no other job waits."""


@dataclass(frozen=True, slots=True)
class JobOwner:
    """The caller for whom the engine works. Callers of one kind take turns."""

    kind: JobKind = JobKind.BACKGROUND
    id: UUID | None = None
    """The subject of an enrolment, the relying party of a verification."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Proof, for one job, that grants in force allow images to be measured.

    Only ``app.consent`` constructs one; a lint enforces that. It never crosses the process boundary to a worker.
    """

    grant_ids: tuple[UUID, ...]
    """The grants in force; never empty."""
    keeps_photos: bool = False
    """Whether the worker returns the re-encoded photos, under a `template_renewal` grant."""
    use: PhotoUse = PhotoUse.ENROLMENT
    """The use of the photos; the stricter one unless stated."""
    owner: JobOwner = JobOwner()
    """The caller whose turn the job takes."""


PeopleAgreed = Literal["yes", "no", "unknown"]
"""Whether the people in the images agreed to this use of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageStatement:
    """The operator's statement on the images of an evaluation.

    Only ``app.evaluation`` constructs one; a lint enforces that. It keeps no photos.

    Raises:
        ValueError: the origin is blank.
    """

    origin: str
    """Origin of the images, in the operator's words; never blank."""
    agreed: PeopleAgreed

    def __post_init__(self) -> None:
        """Refuse a blank origin."""
        if not self.origin.strip():
            raise ValueError("the statement is empty")
