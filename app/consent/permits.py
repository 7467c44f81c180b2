"""Permits, and what "in force" means in SQL. Nobody else makes a permit; a lint says so."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, FromClause, and_, bindparam, literal, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.consent import pause
from app.consent.errors import ConsentRequiredError
from app.consent.policy import ENROLLABLE
from app.consent.tables import Grant
from app.db.sqlite.prepared import Prepared, Statements, Values
from app.db.types import Row, UtcDateTime
from app.faces.permit import Permit, Purpose
from app.subjects import service as subjects


def live(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Select grants in force at *now*, and not paused, of people who neither stopped matching nor asked for erasure."""
    matched = Grant.subject_id.in_(subjects.may_be_matched())
    return and_(Grant.valid_until > now, Grant.spell_id.is_not(None), matched)


def for_enrolment(
    session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], keep_photos: bool, now: datetime
) -> tuple[Permit, Sequence[Grant]]:
    """Permit a person's own photos to be measured, on their own grants. Returns the grants too.

    Args:
        keep_photos: also keep the photos; needs a `template_renewal` grant, which is returned as the last.

    Raises:
        RestrictedError: they have stopped all matching, or dispute a comparison for one of the relying parties.
        ConsentRequiredError: one of the consents is not theirs, not in force, or for another purpose.
    """
    subjects.refuse_if_restricted(session, subject_id)
    pause.refuse_if_paused(session, subject_id=subject_id, consent_ids=consent_ids, now=now)
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


def for_renewal(
    session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], now: datetime
) -> tuple[Permit, Sequence[Grant]]:
    """Permit a person's kept photos to be measured again, on their consent to that and those the templates are for.

    Returns those that the templates are for too.

    Raises:
        ConsentRequiredError: one of them is not theirs, not in force, paused, or for another purpose; or the person has
            stopped all matching.
    """
    mine = and_(live(now), Grant.subject_id == subject_id)
    renewal = session.scalar(select(Grant.id).where(mine, Grant.purpose == Purpose.TEMPLATE_RENEWAL))
    of_templates = (mine, Grant.id.in_(consent_ids), Grant.purpose.in_(ENROLLABLE))
    grants = session.scalars(select(Grant).where(*of_templates).order_by(Grant.id)).all()
    if renewal is None or not grants or len(grants) != len(set(consent_ids)):
        raise ConsentRequiredError
    return Permit(grant_ids=(renewal, *(grant.id for grant in grants))), grants


class ForVerification:
    """Permits one probe to be measured, to be compared with the person that a party knows by a reference.

    Whoever compares reads what hangs from the grant in the same statement. Its one row is always there, empty where
    there is nothing: a reference that may not be used is as much work as one that may.

    Args:
        hangs: the table of what hangs from the grant.
        wanted: its columns to be read with the permit.
        fits: what is wanted of a row of it.
    """

    def __init__(
        self, hangs: FromClause | type[Row], wanted: Sequence[InstrumentedAttribute[Any]], fits: ColumnElement[bool]
    ) -> None:
        asked = and_(
            live(bindparam("now", type_=UtcDateTime())),
            Grant.relying_party_id == bindparam("relying_party_id"),
            Grant.subject_ref == bindparam("subject_ref"),
            Grant.purpose == Purpose.VERIFICATION,
        )
        always = select(literal(1)).subquery("always")
        self._query = Prepared(
            select(Grant.id, *wanted).select_from(always).outerjoin(Grant, asked).outerjoin(hangs, fits)
        )

    def find(
        self, reading: Statements, *, relying_party_id: UUID, subject_ref: str, now: datetime, **values: object
    ) -> tuple[Permit | None, Values]:
        """Return the permit, None without a grant in force, and the wanted columns, each None if there is no such row.

        Args:
            values: what *fits* leaves open.
        """
        row = reading.first(self._query, relying_party_id=relying_party_id, subject_ref=subject_ref, now=now, **values)
        grant_id, *wanted = row or (None,)
        return None if grant_id is None else Permit(grant_ids=(grant_id,)), tuple(wanted)
