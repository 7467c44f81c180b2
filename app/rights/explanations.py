"""Texts about the processing that access documents, exports and the controller's documents share."""

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


RIGHTS = (
    Right(
        right="access",
        law="GDPR Art. 15",
        how="GET /v1/me/access",
        what="See all data that is held about you, and how it is used.",
    ),
    Right(
        right="portability",
        law="GDPR Art. 20",
        how="GET /v1/me/export",
        what="Take all your data with you, in one ZIP.",
    ),
    Right(
        right="rectification",
        law="GDPR Art. 16",
        how="PATCH /v1/me, or enrol again",
        what="Correct your name, or replace your photos.",
    ),
    Right(
        right="withdrawal of consent",
        law="GDPR Art. 7(3)",
        how="DELETE /v1/me/consents/{consent_id}",
        what="End a consent. Its template and photos are gone at once.",
    ),
    Right(
        right="restriction",
        law="GDPR Art. 18",
        how="PUT /v1/me/restriction",
        what="Stop all use of your face, and keep your data.",
    ),
    Right(
        right="erasure",
        law="GDPR Art. 17",
        how="DELETE /v1/me",
        what="Erase your account and all data on this page.",
    ),
    Right(
        right="erasure of your history",
        law="GDPR Art. 17",
        how="DELETE /v1/me/comparisons, with ?before=YYYY-MM-DD",
        what="Delete the uses of your face before a day from your list.",
    ),
    Right(
        right="complaint",
        law="GDPR Art. 77",
        how="the data protection authority where you live or work",
        what="Complain to an independent authority.",
    ),
)
