"""Permits: without one, no image is decoded and no face is measured (law 1). A lint lets only this room make them.

The rule. Every permit needs a grant that is, at the time of the request,

* of this subject, for this purpose and, in a verification, for this relying party;
* not expired (a withdrawn grant has no row);
* not paused by a dispute;
* as this service wrote it, with an authentication code that fits;
* of a subject who has neither restricted matching nor asked for erasure.

An enrolment needs such a grant for each consent that it names; to keep photos it needs one for `template_renewal` too.
A renewal needs the grant for `template_renewal`, and one for each template.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal,
    select,
    tuple_,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from app.consent.errors import ConsentRequiredError, PausedError
from app.consent.policy import ENROLMENT_PURPOSES
from app.consent.tables import Grant
from app.db.types import UtcDateTime
from app.faces.permit import JobKind, JobOwner, Permit, PhotoUse, Purpose
from app.subjects import service as subjects
from app.subjects.tables import Subject
from app.vault.authentic_rows import is_authentic

Attribute: TypeAlias = InstrumentedAttribute[Any]


def in_force(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Select the grants that may be used for matching at *now*."""
    return and_(*_usable(now), exists().where(Subject.id == Grant.subject_id, subjects.is_matchable()))


def in_force_with_subject(now: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    """Select the same grants, in a query that joins the grant with its subject."""
    return and_(*_usable(now), subjects.is_matchable())


def _usable(now: datetime | BindParameter[datetime]) -> tuple[ColumnElement[bool], ...]:
    return Grant.valid_until > now, Grant.matching_period_id.is_not(None), is_authentic(Grant)


def grant_ids_in_force(now: datetime) -> Select[UUID]:
    """Select the ids of the grants that may be used for matching at *now*."""
    return select(Grant.id).where(in_force(now))


def find_for_enrolment(
    session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], keep_photos: bool, now: datetime
) -> tuple[Permit, Sequence[Grant]]:
    """Return the permit to measure the subject's own photos, and its grants.

    Args:
        keep_photos: also keep the photos; the `template_renewal` grant is then the last of the grants.

    Raises:
        RestrictedError: the subject has restricted matching, or disputes a comparison made on one of the consents.
        ConsentRequiredError: one of the consents belongs to another subject, is not in force, or is for another
            purpose.
    """
    subjects.refuse_if_restricted(session, subject_id)
    _refuse_if_paused(session, subject_id, consent_ids, now)
    mine = and_(in_force(now), Grant.subject_id == subject_id)
    grants = list(session.scalars(select(Grant).where(mine, Grant.id.in_(consent_ids))))
    if not grants or len(grants) != len(set(consent_ids)) or any(g.purpose not in ENROLMENT_PURPOSES for g in grants):
        raise ConsentRequiredError
    if keep_photos:
        renewal = session.scalar(select(Grant).where(mine, Grant.purpose == Purpose.TEMPLATE_RENEWAL))
        if renewal is None:
            raise ConsentRequiredError
        grants.append(renewal)
    owner = JobOwner(JobKind.ENROLMENT, subject_id)
    return Permit(grant_ids=tuple(grant.id for grant in grants), keeps_photos=keep_photos, owner=owner), grants


def _refuse_if_paused(session: Session, subject_id: UUID, consent_ids: Collection[UUID], now: datetime) -> None:
    mine = (Grant.subject_id == subject_id, Grant.id.in_(consent_ids), Grant.valid_until > now)
    if session.scalar(select(Grant.id).where(*mine, Grant.matching_period_id.is_(None)).limit(1)) is not None:
        raise PausedError


def find_for_renewal(
    session: Session, *, subject_id: UUID, consent_ids: Collection[UUID], now: datetime
) -> tuple[Permit, Sequence[Grant]]:
    """Return the permit to measure the subject's kept photos again, and the grants of the templates.

    Raises:
        ConsentRequiredError: one of the grants belongs to another subject, is not in force, is paused, or is for
            another purpose; or the subject has restricted matching.
    """
    mine = and_(in_force(now), Grant.subject_id == subject_id)
    renewal = session.scalar(select(Grant.id).where(mine, Grant.purpose == Purpose.TEMPLATE_RENEWAL))
    of_templates = (mine, Grant.id.in_(consent_ids), Grant.purpose.in_(ENROLMENT_PURPOSES))
    grants = session.scalars(select(Grant).where(*of_templates).order_by(Grant.id)).all()
    if renewal is None or not grants or len(grants) != len(set(consent_ids)):
        raise ConsentRequiredError
    return Permit(grant_ids=(renewal, *(grant.id for grant in grants))), grants


def verification_query(dependent: Attribute, columns: Sequence[Attribute], matches: ColumnElement[bool]) -> Select[Any]:
    """Return the query of `find_for_verification`; made once, because making it takes longer than executing it.

    The work is the same for every reference (law 9). It reads the first grant at or after the reference, the subject of
    that grant, and the first dependent row at or after it. Then one condition tells whether they are the right ones, so
    a wrong reference reads as many rows as a usable one.

    Args:
        dependent: the unique column of the dependent row that holds the id of its grant.
        columns: columns of the dependent row to return.
        matches: a condition on the dependent row, without which there is no permit.
    """
    key = (Grant.relying_party_id, Grant.subject_ref, Grant.purpose)
    wanted = [bindparam(column.key, type_=column.type) for column in key]
    usable = and_(
        *(column == value for column, value in zip(key, wanted, strict=True)),
        in_force_with_subject(bindparam("now", type_=UtcDateTime())),
        dependent == Grant.id,
        matches,
    )
    nearest = (
        select(usable.label("usable"), Grant.id.label("permitted"), *columns)
        .select_from(select(literal(1)).subquery("always"))
        .outerjoin(Grant, Grant.id == _first_from(Grant.id, key, wanted))
        .outerjoin(Subject, Subject.id == Grant.subject_id)
        .outerjoin(dependent.class_, dependent == _first_from(dependent, (dependent,), (Grant.id,)))
        # Else SQLite tests the condition again for each column.
        .cte("nearest")
        .prefix_with("MATERIALIZED")
    )
    _, *found = nearest.c
    return select(*(case((nearest.c.usable, column)) for column in found))


def find_for_verification(
    session: Session,
    query: Select[Any],
    *,
    relying_party_id: UUID,
    subject_ref: str,
    now: datetime,
    values: Mapping[str, object],
) -> tuple[Permit | None, tuple[Any, ...]]:
    """Return the permit to measure one probe for a relying party, and columns of the row that depends on the grant.

    Without the permit each column is None.

    Args:
        query: made by `verification_query`.
        values: of the parameters in the condition of the query.
    """
    wanted = {"relying_party_id": relying_party_id, "subject_ref": subject_ref, "purpose": Purpose.VERIFICATION}
    grant_id, *found = session.connection().execute(query, {**wanted, "now": now, **values}).one()
    if grant_id is None:
        return None, tuple(found)
    owner = JobOwner(JobKind.VERIFICATION, relying_party_id)
    return Permit(grant_ids=(grant_id,), use=PhotoUse.PROBE, owner=owner), tuple(found)


def _first_from(column: Attribute, key: Sequence[Attribute], start: Sequence[object]) -> ColumnElement[Any]:
    """Return *column* of the first row at or after *start* in the order of *key*; at the end, of the first row."""
    table = aliased(column.class_)
    inner, order = getattr(table, column.key), [getattr(table, part.key) for part in key]
    following = select(inner).where(tuple_(*order) >= tuple_(*start)).order_by(*order).limit(1)
    return func.coalesce(following.scalar_subquery(), select(inner).order_by(*order).limit(1).scalar_subquery())
