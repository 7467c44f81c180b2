"""A folder of images, looked at and not opened: people are folders, what is inside them is theirs.

Nothing leads out of it: symbolic links are left out and counted, as is whatever is no image by its name.
"""

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from app.evaluation.errors import EvaluationError

SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
"""What is taken for an image by its name; what it is, its content says, to a worker."""
FEWEST_PEOPLE: Final = 2
GROUPS_FILE: Final = "groups.csv"


@dataclass(frozen=True, slots=True)
class Sample:
    """One file that may be an image of one person."""

    path: Path
    person: int
    """An index of ``Folder.people``; -1 where files are not in folders of people."""


@dataclass(frozen=True, slots=True)
class Folder:
    """What there is to measure."""

    root: Path
    people: tuple[str, ...]
    """The names of the folders, in order. They leave this process in no report."""
    samples: tuple[Sample, ...]
    """By person, then by name: the first are the references."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Files and folders that were not taken, by reason."""


def look(root: Path, *, most_images: int) -> Folder:
    """Return the people of *root*, a folder for each.

    Raises:
        EvaluationError: it is no folder, or holds too much or too little.
    """
    left_out: Counter[str] = Counter()
    people: list[str] = []
    samples: list[Sample] = []
    for entry in _listed(root, left_out):
        if not entry.is_dir(follow_symlinks=False):
            left_out["groups.csv" if entry.name == GROUPS_FILE else "files outside of a person's folder"] += 1
            continue
        files = list(_images(Path(entry.path), left_out))
        if not files:
            left_out["folders without an image"] += 1
            continue
        samples += [Sample(path, len(people)) for path in files]
        people.append(entry.name)
        _check_size(len(samples), most_images)
    del left_out["groups.csv"]
    if len(people) < FEWEST_PEOPLE:
        raise EvaluationError(
            f"{root} has images of {len(people)} {'person' if len(people) == 1 else 'people'}; "
            "a false match takes two: make one folder for each person, with their images in it"
        )
    return Folder(root, tuple(people), tuple(samples), left_out)


def read(path: Path, *, most_bytes: int) -> bytes | None:
    """Return what is in a regular file; nothing if it is larger than *most_bytes*.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        content = file.read(most_bytes + 1)
    return content if len(content) <= most_bytes else None


def _images(directory: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Give the images below *directory*, whatever folders they are in."""
    for entry in _listed(directory, left_out):
        if entry.is_dir(follow_symlinks=False):
            yield from _images(Path(entry.path), left_out)
        elif not entry.is_file(follow_symlinks=False) or not entry.name.lower().endswith(SUFFIXES):
            left_out["files that are no image by their name"] += 1
        else:
            yield Path(entry.path)


def _listed(directory: Path, left_out: Counter[str]) -> list["os.DirEntry[str]"]:
    """Return what is in *directory*, by name; hidden files are nobody's images, and links may lead anywhere."""
    try:
        with os.scandir(directory) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except NotADirectoryError as error:
        raise EvaluationError(f"{directory} is no folder: name one that has a folder for each person") from error
    except FileNotFoundError as error:
        raise EvaluationError(f"there is no {directory}") from error
    except PermissionError as error:
        raise EvaluationError(
            f"{directory} cannot be read: {error.strerror}; give yourself the right, or move it"
        ) from error
    links = [entry for entry in entries if entry.is_symlink()]
    left_out["symbolic links"] += len(links)
    return [entry for entry in entries if entry not in links and not entry.name.startswith(".")]


def _check_size(images: int, most: int) -> None:
    if images > most:
        raise EvaluationError(f"there are more than {most} images; take fewer, or allow more with --most-images")
