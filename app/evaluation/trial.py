"""What is to be evaluated: what was asked for, and what there is, before any image is opened."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.evaluation import groups, pairs
from app.evaluation.errors import EvaluationError
from app.evaluation.groups import Groups
from app.evaluation.image_folder import GROUPS_FILE, Folder, look
from app.evaluation.pairs import Listed
from app.faces.permit import ImageStatement
from app.kit.text import readable

MOST_IMAGES: Final = 100_000
"""Five thousand million pairs: minutes, in the same memory."""
MOST_REFERENCES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is to be evaluated, and how."""

    root: Path
    stated: ImageStatement
    name: str
    pairs: Path | None = None
    workers: int
    resamples: int = 1000
    seed: int = 1
    most_references: int = MOST_REFERENCES
    most_images: int = MOST_IMAGES
    most_bytes: int


@dataclass(frozen=True, slots=True)
class Trial:
    """What is there to be measured, before anything was."""

    folder: Folder
    groups: Groups
    listed: Listed | None = None


def prepare(asked: Asked) -> Trial:
    """Look at the folder and at the lists, and open no image.

    Raises:
        EvaluationError: they do not make a trial.
    """
    if not asked.name.strip() or not readable(asked.name):
        raise EvaluationError("the name of the trial is blank, or holds what cannot be shown; name it otherwise")
    listed = None
    if asked.pairs is None:
        folder = look(asked.root, most_images=asked.most_images)
    else:
        listed = pairs.read_pairs(asked.pairs, asked.root, most_images=asked.most_images)
        folder = listed.folder
    labels = groups.none(len(folder.people))
    file = asked.root / GROUPS_FILE
    if file.exists() and not (listed and listed.by_image):
        labels = groups.read_groups(file, folder.people, partial=listed is not None)
    return Trial(folder, labels, listed)
