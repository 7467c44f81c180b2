"""The request for an evaluation, and the trial found in the folder, before any image is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.evaluation import groups, pairs
from app.evaluation.errors import EvaluationError
from app.evaluation.groups import Groups
from app.evaluation.image_folder import GROUPS_FILE, Folder, list_folder
from app.evaluation.lookalikes import MOST_LISTED
from app.evaluation.pairs import ListedPairs
from app.faces.permit import ImageStatement
from app.kit.text import is_blank, readable

MAX_IMAGES: Final = 100_000
"""Five thousand million pairs take minutes and no more memory."""
MAX_REFERENCES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """The operator's choices for one evaluation."""

    root: Path
    stated: ImageStatement
    name: str
    pairs: Path | None = None
    workers: int
    resamples: int = 1000
    seed: int = 1
    most_references: int = MAX_REFERENCES
    most_lookalikes: int = MOST_LISTED
    most_images: int = MAX_IMAGES
    most_bytes: int
    threshold: float | None = None
    """The threshold in force in the service; None if the engine has no calibration."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Images and groups to evaluate."""

    folder: Folder
    groups: Groups
    listed: ListedPairs | None = None


def prepare(request: EvaluationRequest) -> Trial:
    """Read the folder and the lists; open no image.

    Raises:
        EvaluationError: the folder, the groups or the pairs are unusable.
    """
    if is_blank(request.name) or not readable(request.name):
        raise EvaluationError("the name of the trial is blank or not printable; choose another")
    listed = None
    if request.pairs is None:
        folder = list_folder(request.root, most_images=request.most_images)
    else:
        listed = pairs.read_pairs(request.pairs, request.root, most_images=request.most_images)
        folder = listed.folder
    labels = groups.no_groups(len(folder.people))
    file = request.root / GROUPS_FILE
    if file.exists() and not (listed and listed.by_image):
        labels = groups.read_groups(file, folder.people, partial=listed is not None)
    return Trial(folder, labels, listed)
