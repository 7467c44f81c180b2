"""Permits, and what "in force" means in SQL. Nobody else makes a permit; a lint says so."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from app.consent.errors import ConsentRequiredError, NoSuchConsentError
from app.consent.policy import ENROLLABLE
from app.consent.tables import Grant
from app.faces.permit import Permit, Purpose
from app.subjects import service as subjects


def live(now: datetime) -> ColumnElement[bool]:
    """Select grants in force at *now* of people who have neither stopped matching nor asked for erasure."""
    return and_(Grant.valid_until > now, Grant.subject_id.in_(subjects.may_be_matched()))


def for_enrolment(
    session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], keep_photos: bool, now: datetime
) -> tuple[Permit, Sequence[Grant]]:
    """Permit a person's own photos to be measured, on their own grants. Returns the grants too.

    Args:
        keep_photos: also keep the photos; needs a `template_renewal` grant, which is returned as the last.

    Raises:
        RestrictedError: they have stopped all matching.
        ConsentRequiredError: one of the consents is not theirs, not in force, or for another purpose.
    """
    subjects.refuse_if_restricted(session, subject_id)
    mine = and_(live(now), Grant.subject_id == subject_id)
    grants = list(session.scalars(select(Grant).where(mine, Grant.id.in_(consent_ids))))
    if not grants or len(grants) != len(set(consent_ids)) or any(g.purpose not in ENROLLABLE for g in grants):
        raise ConsentRequiredError
    if keep_photos:
        renewal = session.scalar(select(Grant).where(mine, Grant.purpose == Purpose.TEMPLATE_RENEWAL))
        if renewal is None:
            raise ConsentRequiredError
        grants.append(renewal)
    return Permit(grant_ids=tuple(grant.id for grant in grants), keeps_photos=keep_photos), grants


def for_verification(session: Session, *, grant_id: UUID, relying_party_id: UUID, now: datetime) -> Permit:
    """Permit one probe to be measured, to be compared with the person that this grant is of.

    Raises:
        NoSuchConsentError: the grant is not in force, not for verification, or for another party.
    """
    asked = (Grant.id == grant_id, Grant.purpose == Purpose.VERIFICATION, Grant.relying_party_id == relying_party_id)
    if session.scalar(select(Grant.id).where(live(now), *asked)) is None:
        raise NoSuchConsentError
    return Permit(grant_ids=(grant_id,))
