"""Finding the one consent that a person has in force for a purpose and a recipient."""

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.faces.permit import Purpose


def standing(session: Session, *, subject_id: UUID, purpose: Purpose, relying_party_id: UUID | None) -> Grant | None:
    """Return the person's consent to this, paused or not, if there is one; with no relying party the controller's."""
    return session.scalar(
        select(Grant).where(
            Grant.subject_id == subject_id,
            Grant.purpose == purpose,
            Grant.relying_party_id.is_not_distinct_from(relying_party_id),
        )
    )
