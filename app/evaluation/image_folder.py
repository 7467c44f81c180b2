"""A folder of images with one folder per person. Images are listed here, not opened.

Symbolic links are left out and counted, and so are files without the name of an image.
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
"""File names taken for images. The engine worker decides by content."""
FEWEST_PEOPLE: Final = 2
GROUPS_FILE: Final = "groups.csv"


@dataclass(frozen=True, slots=True)
class Sample:
    """One file that may be an image of one person."""

    path: Path
    person: int
    """Index in ``Folder.people``; -1 if the files are not in folders of people."""


@dataclass(frozen=True, slots=True)
class Folder:
    """The people and images of a trial."""

    root: Path
    people: tuple[str, ...]
    """Folder names in order. No report contains them."""
    samples: tuple[Sample, ...]
    """By person, then by name; the first of each person is the reference."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Counts of ignored files and folders, by reason."""


def list_folder(root: Path, *, most_images: int) -> Folder:
    """List the people of *root*, one folder each.

    Raises:
        EvaluationError: *root* is not a folder, or has too many images or too few people.
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
        if len(samples) > most_images:
            raise EvaluationError(
                f"there are more than {most_images} images; take fewer, or allow more with --most-images"
            )
    del left_out["groups.csv"]
    if len(people) < FEWEST_PEOPLE:
        raise EvaluationError(
            f"{root} has images of {len(people)} {'person' if len(people) == 1 else 'people'}; "
            "a false match takes two: make one folder for each person, with their images in it"
        )
    return Folder(root, tuple(people), tuple(samples), left_out)


def read(path: Path, *, most_bytes: int) -> bytes | None:
    """Return the content of a regular file, or None if it is larger than *most_bytes*.

    Raises:
        OSError: the file is unreadable or not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        content = file.read(most_bytes + 1)
    return content if len(content) <= most_bytes else None


def _images(directory: Path, left_out: Counter[str]) -> Iterator[Path]:
    """Yield the images below *directory* at any depth."""
    for entry in _listed(directory, left_out):
        if entry.is_dir(follow_symlinks=False):
            yield from _images(Path(entry.path), left_out)
        elif not entry.is_file(follow_symlinks=False) or not entry.name.lower().endswith(SUFFIXES):
            left_out["files that are no image by their name"] += 1
        else:
            yield Path(entry.path)


def _listed(directory: Path, left_out: Counter[str]) -> list["os.DirEntry[str]"]:
    """Return the entries of *directory* by name, without hidden files and symbolic links."""
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
