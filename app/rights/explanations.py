"""Texts about the processing that access documents, exports and the controller's documents share."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.faces.permit import Purpose

SOURCE = (
    "you: every photo, name and decision here was given by you; comparisons were made at the request of a relying "
    "party that you consented to"
)
LEGAL_BASIS = "your explicit consent (GDPR Art. 6(1)(a) and 9(2)(a))"
PURPOSES = {
    Purpose.VERIFICATION: "check whether a photo shows you",
    Purpose.IDENTIFICATION: "find you among the people in its gallery",
    Purpose.TEMPLATE_RENEWAL: "keep your photos, to measure them again when the engine changes",
}
"""The permission that each purpose gives: to a relying party, the last one to Mien."""
LEARNS = "match or no match, a random reference to you, and that a consent began or ended"
LOGIC = (
    "Each face is measured as a list of numbers. Your template is the mean of your enrolled photos' lists. A photo "
    "that a relying party sends is measured too. If the distance between the two lists is below the threshold, the "
    "answer is match, otherwise no match. The error rates, and how they differ between groups of people, are at "
    "/v1/engine. The relying party decides about the consequences, and must offer you a way without your face."
)
TEMPLATE_WARNING = (
    "A template's vector can be turned back into a likeness of your face. Keep the files in templates/ as safe as a "
    "photo of yourself that you would show to no one."
)


class Right(BaseModel):
    """A right of the subject, with the request that exercises it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    right: str
    law: str
    how: str
    what: str


_RIGHTS_FILE = Path(__file__).with_name("rights.toml")
RIGHTS = tuple(Right(**right) for right in tomllib.loads(_RIGHTS_FILE.read_text("utf-8"))["rights"])
