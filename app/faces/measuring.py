"""What the rooms above are given to measure with: the pool, the card, and the threshold that the target picked."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request, UploadFile

from app.faces.calibration import TargetGroup
from app.faces.cards import Card
from app.faces.pool import EnginePool
from app.kit.problems import TooLargeError


@dataclass(frozen=True, slots=True, kw_only=True)
class Measuring:
    """The engine in force."""

    pool: EnginePool
    card: Card
    target_fmr: float
    target_group: TargetGroup = TargetGroup.WORST
    threshold: float
    """Two faces at a smaller distance than this are taken for one person's."""


async def _measuring(request: Request) -> Measuring:
    measuring: Measuring = request.app.state.measuring
    return measuring


Faces = Annotated[Measuring, Depends(_measuring)]
"""The engine in force."""


def image_bytes(upload: UploadFile, *, limit: int) -> bytes:
    """Return an uploaded file, which is in memory already.

    Raises:
        TooLargeError: it has more than *limit* bytes.
    """
    if upload.size is not None and upload.size > limit:
        raise TooLargeError
    return upload.file.read()
