"""The data map: each column declares the kind of its content; access, export and their schema follow from it (law 5).

A column's `info` is one of the constants below, or `sealed(…)`. No other list of personal data exists.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kinds of personal data that a column can hold."""

    PERSONAL = "personal"
    """About a subject: sealed under a key, or a random id without meaning once the rows are deleted."""
    BIOMETRIC = "biometric"
    """Derived from a face; sealed under a grant's key."""
    CREDENTIAL = "credential"
    """A credential: stored only as a digest, never disclosed."""
    IMPERSONAL = "impersonal"
    """Not about a subject."""


class SealedFormat(StrEnum):
    """The formats of sealed columns."""

    TEXT = "text"
    JSON = "json"
    VECTOR = "vector"
    """A vector with the SHA-256 of the engine's weights (`app/faces/vectors.py`)."""
    JPEG = "jpeg"
    RECEIPT = "receipt"
    """A signed receipt: a JSON object, exported as a file of its own."""


class SealedUnder(StrEnum):
    """The owner whose key seals a column."""

    SUBJECT = "subject"
    """The subject: `subject_id` of the row, or `id` of the subject's own row."""
    GRANT = "grant"
    """The grant: `grant_id` of the row, and its `key_generation`."""


@dataclass(frozen=True, slots=True)
class Seal:
    """The key and the format of a sealed column. Its context is `table.column:id`."""

    under: SealedUnder
    form: SealedFormat


PERSONAL: dict[str, Any] = {"kind": Kind.PERSONAL}
CREDENTIAL: dict[str, Any] = {"kind": Kind.CREDENTIAL}
IMPERSONAL: dict[str, Any] = {"kind": Kind.IMPERSONAL}


def sealed(kind: Kind, under: SealedUnder, form: SealedFormat) -> dict[str, Any]:
    """Return the classification of a sealed column."""
    return {"kind": kind, "seal": Seal(under, form)}


SEALED_TEXT = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, SealedFormat.TEXT)
SEALED_RECORD = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, SealedFormat.JSON)
SEALED_RECEIPT = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, SealedFormat.RECEIPT)
SEALED_VECTOR = sealed(Kind.BIOMETRIC, SealedUnder.GRANT, SealedFormat.VECTOR)
SEALED_PHOTO = sealed(Kind.BIOMETRIC, SealedUnder.GRANT, SealedFormat.JPEG)
