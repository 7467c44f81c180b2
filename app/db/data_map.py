"""What each column holds, said where the column is declared; access, export and their schema follow from it (law 5).

A column's `info` is one of the constants below, or `sealed(…)`. Nothing else lists what is held about a person.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """The kinds of personal data that a column can hold."""

    PERSONAL = "personal"
    """About an identified person; sealed under a key, or a random id that means nothing once the rows are gone."""
    BIOMETRIC = "biometric"
    """Derived from a face; sealed under a grant's key."""
    CREDENTIAL = "credential"
    """A credential; stored only as a digest, and never disclosed."""
    IMPERSONAL = "impersonal"
    """Nothing about a person."""


class Form(StrEnum):
    """The formats of an opened sealed column."""

    TEXT = "text"
    JSON = "json"
    VECTOR = "vector"
    """The SHA-256 of the engine's weights, then little-endian doubles; of an older version the doubles alone."""
    JPEG = "jpeg"
    RECEIPT = "receipt"
    """A signed receipt: a JSON object that is given as a file of its own."""


class SealedUnder(StrEnum):
    """The owner whose key seals a column."""

    SUBJECT = "subject"
    """The row's `subject_id` (or `id`, of the subject itself)."""
    GRANT = "grant"
    """The row's `grant_id`, in its `key_generation`."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How a column opens: its context is always `table.column:id`."""

    under: SealedUnder
    form: Form


PERSONAL: dict[str, Any] = {"kind": Kind.PERSONAL}
CREDENTIAL: dict[str, Any] = {"kind": Kind.CREDENTIAL}
IMPERSONAL: dict[str, Any] = {"kind": Kind.IMPERSONAL}


def sealed(kind: Kind, under: SealedUnder, form: Form) -> dict[str, Any]:
    """Classify a column that exists only sealed."""
    return {"kind": kind, "seal": Seal(under, form)}


SEALED_TEXT = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, Form.TEXT)
SEALED_RECORD = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, Form.JSON)
SEALED_RECEIPT = sealed(Kind.PERSONAL, SealedUnder.SUBJECT, Form.RECEIPT)
SEALED_VECTOR = sealed(Kind.BIOMETRIC, SealedUnder.GRANT, Form.VECTOR)
SEALED_PHOTO = sealed(Kind.BIOMETRIC, SealedUnder.GRANT, Form.JPEG)
