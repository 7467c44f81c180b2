"""Reads the operator's list of comparisons, which replaces the comparison of every pair."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from app.evaluation.errors import EvaluationError
from app.evaluation.groups import read_csv
from app.evaluation.image_folder import GROUPS_FILE, Folder, Sample

HEADER: Final = ("reference", "probe", "same")
_SAME: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class ListedPairs:
    """Comparisons as indices of samples."""

    folder: Folder
    comparisons: tuple[tuple[int, int, bool], ...]
    """Reference, probe, and True if they show one person."""
    by_image: bool
    """True if the folders are not people, so that only images can be resampled."""


def read_pairs(path: Path, root: Path, *, most_images: int) -> ListedPairs:
    """Read the comparisons in *path* of images below *root*.

    Raises:
        EvaluationError: a line is malformed, or an image is missing or outside *root*.
    """
    if not root.is_dir():
        raise EvaluationError(f"{root} is no folder")
    places: dict[PurePosixPath, int] = {}
    made: dict[tuple[int, int], bool] = {}
    for number, (reference, probe, same) in read_csv(path, HEADER):
        where = f"{path}, line {number}"
        if same.lower() not in _SAME:
            raise EvaluationError(f"{where}: {same!r} must be yes or no")
        one, other = (places.setdefault(_inside(root, name, where), len(places)) for name in (reference, probe))
        pair = (min(one, other), max(one, other))
        if one == other:
            raise EvaluationError(f"{where}: an image is compared with itself")
        if made.setdefault(pair, _SAME[same.lower()]) is not _SAME[same.lower()]:
            raise EvaluationError(f"{where}: an earlier line says the opposite about these two images")
        if len(places) > most_images:
            raise EvaluationError(f"{where}: more than {most_images} images; allow more with --most-images")
    return _listed(root, list(places), made)


def _listed(root: Path, names: list[PurePosixPath], made: dict[tuple[int, int], bool]) -> ListedPairs:
    folders = sorted({name.parts[0] for name in names if len(name.parts) > 1})
    person = {name: folders.index(name.parts[0]) if len(name.parts) > 1 else -1 for name in names}
    by_image = any(
        -1 in (people := (person[names[one]], person[names[other]])) or (people[0] == people[1]) is not same
        for (one, other), same in made.items()
    )
    if by_image:
        folders, person = [name.as_posix() for name in names], {name: place for place, name in enumerate(names)}
    samples = tuple(Sample(root / name, person[name]) for name in names)
    comparisons = tuple((one, other, same) for (one, other), same in made.items())
    return ListedPairs(Folder(root, tuple(folders), samples), comparisons, by_image)


def _inside(root: Path, name: str, where: str) -> PurePosixPath:
    """Return *name* if it is a file below *root*, reached without a symbolic link."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or path.name == GROUPS_FILE:
        raise EvaluationError(f"{where}: {name!r} is not a path of an image below the folder")
    steps = [root.joinpath(*path.parts[: depth + 1]) for depth in range(len(path.parts))]
    if any(step.is_symlink() for step in steps):
        raise EvaluationError(f"{where}: {name!r} leads through a symbolic link; put the file itself there")
    if not steps[-1].is_file():
        raise EvaluationError(f"{where}: there is no file {name!r} below the folder")
    return path
