"""`groups.csv`: which group each person belongs to, as the operator labelled them."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.evaluation.errors import EvaluationError
from app.evaluation.image_folder import read

MOST_BYTES: Final = 16 * 1024 * 1024
FEW_PEOPLE: Final = 30
"""A group of fewer is named as too small: one person more or less changes its rates (the rule of thirty, applied to
people)."""
_LABEL: Final = re.compile(r"[^\W_][\w .+-]{0,39}")
NOBODY: Final = -1
"""The group of who has none."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Who belongs to which group."""

    labels: tuple[str, ...]
    """In order."""
    of_person: Ints
    """For each person the index of their label, or ``NOBODY``."""

    def pairs(self) -> list[tuple[int, int]]:
        """Return every pair of groups, the smaller index first."""
        return [(one, other) for one in range(len(self.labels)) for other in range(one, len(self.labels))]

    def key(self, pair: tuple[int, int]) -> str:
        """Return how a pair of groups is called: ``FM`` for labels of one letter, ``A/B`` for longer ones."""
        between = "" if all(len(label) == 1 for label in self.labels) else "/"
        return between.join(self.labels[group] for group in pair)

    def lookup(self) -> Ints:
        """Return a square table: the place in ``pairs`` of two groups; the last row and column are ``NOBODY``'s."""
        size = len(self.labels)
        table = np.full((size + 1, size + 1), size * (size + 1) // 2, dtype=np.int64)
        for place, (one, other) in enumerate(self.pairs()):
            table[one, other] = table[other, one] = place
        return table


def none(people: int) -> Groups:
    """Return that nobody has a group."""
    return Groups((), np.full(people, NOBODY, dtype=np.int64))


def rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Give the lines of a CSV file below its *header*, with their numbers; blank lines are passed over.

    Raises:
        EvaluationError: it is not such a file.
    """
    try:
        content = read(path, most_bytes=MOST_BYTES)
    except OSError as error:
        raise EvaluationError(f"{path} cannot be read: {error.strerror or error}") from error
    if content is None:
        raise EvaluationError(f"{path} is larger than {MOST_BYTES // 1024 // 1024} MiB")
    try:
        lines = csv.reader(content.decode("utf-8-sig").splitlines(), strict=True)
        for number, row in enumerate(lines, start=1):
            fields = [field.strip() for field in row]
            if number == 1 and fields != list(header):
                raise EvaluationError(
                    f"{path} begins with {','.join(fields)!r}; it has to begin with {','.join(header)}"
                )
            if number > 1 and any(fields):
                if len(fields) != len(header):
                    raise EvaluationError(f"{path}, line {number}: {len(header)} fields are expected")
                yield number, fields
    except UnicodeDecodeError as error:
        raise EvaluationError(f"{path} is not UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise EvaluationError(f"{path} is no CSV file: {error}") from error


def read_groups(path: Path, people: Sequence[str], *, partial: bool) -> Groups:
    """Read who belongs to which group. Who is not named has none; nobody is guessed.

    Args:
        partial: *people* are not all there are, so that others may be named.

    Raises:
        EvaluationError: it names somebody who is not there, or twice, or a label that cannot be used.
    """
    index = {name: place for place, name in enumerate(people)}
    label_of: dict[int, str] = {}
    for number, (person, label) in rows(path, ("person", "group")):
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
    of_person = none(len(people)).of_person
    for place, label in label_of.items():
        of_person[place] = labels.index(label)
    return Groups(labels, of_person)
