"""`groups.csv`: the group of each person, labelled by the operator."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.evaluation.errors import EvaluationError
from app.evaluation.image_folder import read
from app.kit.text import to_utf8

MAX_BYTES: Final = 16 * 1024 * 1024
FEW_PEOPLE: Final = 30
"""A smaller group is reported as too small: one person more or less changes its rates (rule of thirty, for people)."""
_LABEL: Final = re.compile(r"[^\W_][\w .+-]{0,39}")
NO_GROUP: Final = -1
"""Index for a person without a group."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """The group of each person."""

    labels: tuple[str, ...]
    """Sorted."""
    of_person: Ints
    """For each person the index of their label, or ``NO_GROUP``."""

    def pairs(self) -> list[tuple[int, int]]:
        """Return every pair of groups, the smaller index first."""
        return [(one, other) for one in range(len(self.labels)) for other in range(one, len(self.labels))]

    def key(self, pair: tuple[int, int]) -> str:
        """Return the name of a pair of groups: ``FM`` for labels of one letter, ``A/B`` for longer ones."""
        between = "" if all(len(label) == 1 for label in self.labels) else "/"
        return between.join(self.labels[group] for group in pair)

    def lookup(self) -> Ints:
        """Return a square table with the index in ``pairs`` of two groups; last row and column: ``NO_GROUP``."""
        size = len(self.labels)
        table = np.full((size + 1, size + 1), size * (size + 1) // 2, dtype=np.int64)
        for place, (one, other) in enumerate(self.pairs()):
            table[one, other] = table[other, one] = place
        return table


def no_groups(people: int) -> Groups:
    """Return groups without labels for *people*."""
    return Groups((), np.full(people, NO_GROUP, dtype=np.int64))


def read_csv(path: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file below its *header*, with their numbers. Blank lines are skipped.

    Raises:
        EvaluationError: the file is unreadable, too large, not UTF-8 or not CSV, or has another header.
    """
    try:
        content = read(path, most_bytes=MAX_BYTES)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror or error}") from error
    if content is None:
        raise EvaluationError(f"{path} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        lines = csv.reader(io.StringIO(to_utf8(content).decode(), newline=""), strict=True)
        for place, row in enumerate(lines):
            number, fields = lines.line_num, [field.strip() for field in row]
            if place == 0 and fields != list(header):
                raise EvaluationError(
                    f"{path} begins with {','.join(fields)!r}; it has to begin with {','.join(header)}"
                )
            if place > 0 and any(fields):
                if len(fields) != len(header):
                    raise EvaluationError(f"{path}, line {number}: {len(header)} fields are expected")
                yield number, fields
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise EvaluationError(f"{path} is no CSV file: {error}") from error


def read_groups(path: Path, people: Sequence[str], *, partial: bool) -> Groups:
    """Read the group of each person. A person who is not listed has no group; no group is ever guessed.

    Args:
        partial: *people* is a part of the folder, so that the file may name others.

    Raises:
        EvaluationError: the file names an unknown person, a person twice, or an unusable label.
    """
    index = {name: place for place, name in enumerate(people)}
    label_of: dict[int, str] = {}
    for number, (person, label) in read_csv(path, ("person", "group")):
        if person not in index and partial:
            continue
        if person not in index:
            raise EvaluationError(f"{path}, line {number}: there is no folder {person!r} with images")
        if index[person] in label_of:
            raise EvaluationError(f"{path}, line {number}: {person!r} has a group already")
        if not _LABEL.fullmatch(label):
            raise EvaluationError(
                f"{path}, line {number}: {label!r} is no label; take at most 40 letters, digits, spaces and . + -"
            )
        label_of[index[person]] = label
    labels = tuple(sorted(set(label_of.values())))
    of_person = no_groups(len(people)).of_person
    for place, label in label_of.items():
        of_person[place] = labels.index(label)
    return Groups(labels, of_person)
