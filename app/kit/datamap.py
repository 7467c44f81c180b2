"""What each column holds, said where the column is declared; export and erasure follow from it (law 5)."""

from enum import StrEnum


class Kind(StrEnum):
    """What a column may tell about a person."""

    PERSONAL = "personal"
    """About an identified person; sealed under a key, or a random id that means nothing once the rows are gone."""
    BIOMETRIC = "biometric"
    """Derived from a face; sealed under a grant's key."""
    CREDENTIAL = "credential"
    """Lets somebody in; stored only as a digest."""
    IMPERSONAL = "impersonal"
    """Nothing about a person."""


PERSONAL = {"kind": Kind.PERSONAL}
BIOMETRIC = {"kind": Kind.BIOMETRIC}
CREDENTIAL = {"kind": Kind.CREDENTIAL}
IMPERSONAL = {"kind": Kind.IMPERSONAL}
