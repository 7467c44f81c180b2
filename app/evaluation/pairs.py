"""A list of comparisons: only these are made, instead of every pair."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from app.evaluation.errors import EvaluationError
from app.evaluation.groups import rows
from app.evaluation.image_folder import GROUPS_FILE, Folder, Sample

HEADER: Final = ("reference", "probe", "same")
_SAME: Final = {"1": True, "yes": True, "true": True, "0": False, "no": False, "false": False}


@dataclass(frozen=True, slots=True)
class Listed:
    """Comparisons by the places of their samples."""

    folder: Folder
    comparisons: tuple[tuple[int, int, bool], ...]
    """Reference, probe, and whether they are one person."""
    by_image: bool
    """Whether the folders are no people, so that only images can be resampled."""


def read_pairs(path: Path, root: Path, *, most_images: int) -> Listed:
    """Read the comparisons of *path*, whose images are below *root*.

    Raises:
        EvaluationError: a line is none, an image is not there, or is outside.
    """
    if not root.is_dir():
        raise EvaluationError(f"{root} is no folder")
    places: dict[PurePosixPath, int] = {}
    made: dict[tuple[int, int], bool] = {}
    for number, (reference, probe, same) in rows(path, HEADER):
        where = f"{path}, line {number}"
        if same.lower() not in _SAME:
            raise EvaluationError(f"{where}: {same!r} is neither yes nor no")
        one, other = (places.setdefault(_inside(root, name, where), len(places)) for name in (reference, probe))
        pair = (min(one, other), max(one, other))
        if one == other:
            raise EvaluationError(f"{where}: an image is compared with itself")
        if made.setdefault(pair, _SAME[same.lower()]) is not _SAME[same.lower()]:
            raise EvaluationError(f"{where}: these two are said to be one person, and two people")
        if len(places) > most_images:
            raise EvaluationError(f"{where}: more than {most_images} images; allow more with --most-images")
    return _listed(root, list(places), made)


def _listed(root: Path, names: list[PurePosixPath], made: dict[tuple[int, int], bool]) -> Listed:
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
    return Listed(Folder(root, tuple(folders), samples), comparisons, by_image)


def _inside(root: Path, name: str, where: str) -> PurePosixPath:
    """Return *name* if it is a file below *root* that no link leads to."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name or path.name == GROUPS_FILE:
        raise EvaluationError(f"{where}: {name!r} is no path of an image below the folder")
    steps = [root.joinpath(*path.parts[: depth + 1]) for depth in range(len(path.parts))]
    if any(step.is_symlink() for step in steps):
        raise EvaluationError(f"{where}: {name!r} leads through a symbolic link; put the file itself there")
    if not steps[-1].is_file():
        raise EvaluationError(f"{where}: there is no file {name!r} below the folder")
    return path
