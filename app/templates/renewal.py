"""Renewing templates when the engine changed, from photos that were kept for that (purpose `template_renewal`).

One enrolment at a time, and of it one photo at a time: whoever enrols or verifies comes first. What was measured is
sealed in one short transaction, which asks once more for everything that it rests on: whoever withdraws, restricts, or
enrols again meanwhile finds nothing written. Photos that will not do for the engine are not tried again with it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from app.consent import permits
from app.consent.errors import ConsentRequiredError
from app.consent.tables import Grant
from app.faces import vectors as features
from app.faces.engine import Vector
from app.faces.flaws import Flaw
from app.faces.permit import Permit, Purpose
from app.faces.service import Measuring
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.kit.errors import BusyError, NotFoundError
from app.subjects import service as subjects
from app.templates import engine_history, policy, store
from app.templates.errors import NotTheSamePersonError
from app.templates.tables import EngineRow, Photo, Template
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, SealError
from app.vault.vault import Change, Vault
from app.web.auth import UnauthenticatedError

PAGE = 100
"""Enrolments that are looked up at once."""
UNREADABLE = "photos-do-not-open"
"""Why a template is not renewed, beside the slugs of what the engine says of a photo."""
ENDED_MEANWHILE = (ConsentRequiredError, NotFoundError, KeyGoneError, UnauthenticatedError)

log = structlog.get_logger()


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Renewed:
    """What one look did."""

    renewed: int = 0
    """Templates."""
    have_to_enrol_again: int = 0
    """Templates whose photos will not do for the engine."""
    left: int = 0
    """Templates that ended meanwhile, or whose turn comes with the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look for templates that can be renewed."""

    vault: Vault
    faces: Measuring
    tell_time: Clock
    may_go_on: Callable[[], bool] = _always
    """Waits, before each photo, until whoever comes first is served; False if there is no time left."""
    tell: Callable[[str], object] = lambda _doing: None


@dataclass(frozen=True, slots=True)
class _Found:
    """An enrolment that can be renewed, and what that rests on."""

    permit: Permit
    templates: Sequence[Template]
    photos: Sequence[Photo]

    @property
    def subject_id(self) -> UUID:
        return self.templates[0].subject_id

    @property
    def enrolment_id(self) -> UUID:
        return self.templates[0].enrolment_id

    def rests_on(self) -> tuple[tuple[UUID, ...], set[UUID], set[UUID]]:
        return self.permit.grant_ids, {one.id for one in self.templates}, {one.id for one in self.photos}


def superseded(weights_sha256: str, *, today: date) -> ColumnElement[bool]:
    """Select the templates of engines that *weights_sha256* took the place of, whose day has not come."""
    ended = select(EngineRow.weights_sha256).where(EngineRow.templates_end_on <= today)
    return and_(Template.weights_sha256 != weights_sha256, Template.weights_sha256.not_in(ended))


def renewable(weights_sha256: str, *, now: datetime) -> ColumnElement[bool]:
    """Select the templates that can be renewed for the engine of *weights_sha256*."""
    in_force = select(Grant.id).where(permits.in_force(now))
    kept = select(Photo.enrolment_id).where(
        Photo.grant_id.in_(in_force.where(Grant.purpose == Purpose.TEMPLATE_RENEWAL))
    )
    return and_(
        superseded(weights_sha256, today=now.date()),
        or_(Template.not_renewable_by.is_(None), Template.not_renewable_by != weights_sha256),
        Template.grant_id.in_(in_force),
        Template.enrolment_id.in_(kept),
    )


def look(how: Look) -> Renewed:
    """Renew every template that can be, one enrolment after the other. Repeating is harmless.

    Raises:
        NotInForceError: another engine is in force than the one to measure with.
    """
    with how.vault.data.read() as session:
        engine_history.refuse_if_not_in_force(session, how.faces.card)
        if not engine_history.has_older(session):
            return Renewed()
    done, after, total = Renewed(), None, 0
    while page := _page(how, after):
        for enrolment_id in page:
            total += 1
            how.tell(f"{total} enrolments")
            try:
                done = _added(done, _renew(how, enrolment_id))
            except BusyError:
                # Nobody is kept waiting for this: the next look goes on.
                return replace(done, left=done.left + 1)
        after = page[-1]
    return done


def _page(how: Look, after: UUID | None) -> Sequence[UUID]:
    due = renewable(how.faces.card.weights_sha256, now=how.tell_time())
    query = select(Template.enrolment_id).where(due).distinct().order_by(Template.enrolment_id).limit(PAGE)
    with how.vault.data.read() as session:
        return session.scalars(query if after is None else query.where(Template.enrolment_id > after)).all()


def _added(one: Renewed, other: Renewed) -> Renewed:
    return Renewed(
        one.renewed + other.renewed, one.have_to_enrol_again + other.have_to_enrol_again, one.left + other.left
    )


@operation("renewing a template")
def _renew(how: Look, enrolment_id: UUID) -> Renewed:
    """Renew the templates of one enrolment, or note that they cannot be.

    Raises:
        BusyError: the engine cannot take a photo now.
    """
    try:
        with how.vault.data.read() as session:
            found = _find(session, enrolment_id, how.faces.card.weights_sha256, now=how.tell_time())
        vectors = _measured(how, found)
        step("measured")
        if isinstance(vectors, str):
            return _give_up(how, found, vectors)
        return _seal(how, found, vectors)
    except ENDED_MEANWHILE:
        return Renewed(left=1)
    except KekError as error:
        log.error("a template cannot be renewed", error=type(error).__name__)
        return Renewed(left=1)


def _find(session: Session, enrolment_id: UUID, weights_sha256: str, *, now: datetime) -> _Found:
    """Find what can be renewed of an enrolment.

    Raises:
        ConsentRequiredError: nothing any more.
    """
    due = and_(Template.enrolment_id == enrolment_id, renewable(weights_sha256, now=now))
    templates = session.scalars(select(Template).where(due).order_by(Template.id)).all()
    if not templates:
        raise ConsentRequiredError
    # One entry names one older engine; what is of yet another has its turn with the next look.
    templates = [one for one in templates if one.weights_sha256 == templates[0].weights_sha256]
    permit, _ = permits.find_for_renewal(
        session, subject_id=templates[0].subject_id, consent_ids=[one.grant_id for one in templates], now=now
    )
    mine = and_(Photo.enrolment_id == enrolment_id, Photo.grant_id == permit.grant_ids[0])
    return _Found(permit, templates, session.scalars(select(Photo).where(mine).order_by(Photo.position)).all())


def _measured(how: Look, found: _Found) -> list[Vector] | str:
    """Measure the photos with the engine in force; or say by a slug why they will not do.

    Raises:
        BusyError: it cannot take them now.
        ConsentRequiredError: what that rests on ended during the wait.
    """
    vectors = []
    for photo in found.photos:
        if not how.may_go_on():
            raise BusyError
        # The wait has no end that is known: whoever withdrew or restricted meanwhile is not measured.
        with how.vault.data.read() as session:
            _still(session, how, found, now=how.tell_time())
        try:
            plain = store.open_photo(how.vault, photo)
        except SealError:
            return UNREADABLE
        (measured,) = how.faces.pool.measure(found.permit, [plain])
        if isinstance(measured, Flaw):
            return measured.slug
        vectors.append(measured.vector)
    apart = policy.odd_ones(vectors, metric=how.faces.card.metric, threshold=how.faces.threshold)
    return NotTheSamePersonError.slug if apart else vectors


def _still(session: Session, how: Look, found: _Found, *, now: datetime) -> None:
    """Refuse to measure or write what rests on something that is no more.

    Raises:
        ConsentRequiredError: a consent, a template or a photo has ended, or the engine has changed.
    """
    weights = how.faces.card.weights_sha256
    if not engine_history.is_in_force(session, how.faces.card):
        raise ConsentRequiredError
    if _find(session, found.enrolment_id, weights, now=now).rests_on() != found.rests_on():
        raise ConsentRequiredError


def _seal(how: Look, found: _Found, vectors: Sequence[Vector]) -> Renewed:
    """Put a new template in place of each old one; the keys of the old go after the commit."""
    with how.vault.change() as change:
        now = how.tell_time()
        _still(change.session, how, found, now=now)
        entry_id = _log(change.session, how, found, LoggedAct.TEMPLATE_RENEWED, now=now, photos=len(vectors))
        reference = features.mean(vectors, metric=how.faces.card.metric)
        for template in found.templates:
            _replace(change, how, template, entry_id, reference)
    return Renewed(renewed=len(found.templates))


def _replace(change: Change, how: Look, template: Template, entry_id: UUID, reference: Vector) -> None:
    grant = change.session.get_one(Grant, template.grant_id)
    generation = change.issue(Owner.grant(grant.id))
    at = store.Place(grant, template.enrolment_id, entry_id, template.enrolled_on, generation)
    store.put_template(change.session, how.vault, at, how.faces.card, reference)
    in_use = store.generations_in_use(change.session, grant.id)
    change.supersede(Owner.grant(grant.id), keep={generation, *in_use})


def _give_up(how: Look, found: _Found, why: str) -> Renewed:
    """Note that the photos will not do for this engine, where their person sees it."""
    with how.vault.data.write() as session:
        now = how.tell_time()
        _still(session, how, found, now=now)
        _log(session, how, found, LoggedAct.TEMPLATE_NOT_RENEWED, now=now, slug=why)
        mine = Template.id.in_([one.id for one in found.templates])
        session.execute(update(Template).where(mine).values(not_renewable_by=how.faces.card.weights_sha256))
    return Renewed(have_to_enrol_again=len(found.templates))


def _log(session: Session, how: Look, found: _Found, act: LoggedAct, *, now: datetime, **more: entries.Value) -> UUID:
    """Write the entry first: without it the database takes no template. It names both engines."""
    old, card, entry_id = found.templates[0], how.faces.card, uuid4()
    entries.append(
        session,
        subjects.key(how.vault, found.subject_id),
        subject_id=found.subject_id,
        entry_id=entry_id,
        act=act,
        at=now.isoformat(),
        enrolment_id=str(found.enrolment_id),
        templates=len(found.templates),
        engine=card.id,
        weights_sha256=card.weights_sha256,
        engine_before=old.engine_id,
        weights_before=old.weights_sha256,
        **more,
    )
    return entry_id
