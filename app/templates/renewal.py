"""Renew templates of superseded engines from photos kept for that purpose (`template_renewal`).

Enrolments and verifications come first: a run takes one enrolment at a time, and waits before each photo. One short
transaction checks everything again and seals the new templates. It writes nothing if the subject withdrew, restricted
or enrolled again meanwhile. Photos that an engine cannot use are not tried with it again.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from app.consent import permits
from app.consent.errors import ConsentRequiredError
from app.consent.tables import Grant
from app.faces import vectors
from app.faces.engine import Vector
from app.faces.flaws import Flaw
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.kit.clock import Clock
from app.kit.crash_points import operation, step
from app.kit.errors import BusyError, NotFoundError
from app.templates import engine_history, policy, store
from app.templates.errors import NotTheSamePersonError
from app.templates.log_entries import record_entry
from app.templates.tables import EngineRow, Photo, Template
from app.transparency.log.entries import LoggedAct, Value
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault
from app.web.callers import UnauthenticatedError

PAGE = 100
"""Enrolments read at once."""
UNREADABLE = "photos-do-not-open"
"""Reason in the entry when kept photos do not open; every other reason is the slug of a problem."""
ENDED_MEANWHILE = (ConsentRequiredError, NotFoundError, KeyGoneError, UnauthenticatedError)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RenewalCounts:
    """Templates counted by the outcome of one run."""

    renewed: int = 0
    have_to_enrol_again: int = 0
    """The engine cannot use their photos."""
    left: int = 0
    """They ended during the run, or are left for the next run."""

    def __add__(self, other: "RenewalCounts") -> "RenewalCounts":
        """Return the sum of both."""
        return RenewalCounts(*map(operator.add, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRun:
    """Dependencies of one run."""

    vault: Vault
    engine: RunningEngine
    clock: Clock
    wait_for_turn: Callable[[], bool] = lambda: True
    """Called before each photo: wait until the engine is free; return False if the run must stop."""
    report: Callable[[str], object] = lambda _progress: None


@dataclass(frozen=True, slots=True)
class _Renewable:
    """An enrolment that can be renewed, and the rows that allow it."""

    permit: Permit
    templates: Sequence[Template]
    """All made by one engine."""
    photos: Sequence[Photo]

    @property
    def subject_id(self) -> UUID:
        return self.templates[0].subject_id

    @property
    def enrolment_id(self) -> UUID:
        return self.templates[0].enrolment_id

    def row_ids(self) -> tuple[tuple[UUID, ...], set[UUID], set[UUID]]:
        return self.permit.grant_ids, {row.id for row in self.templates}, {row.id for row in self.photos}


def is_renewable(weights_sha256: str, *, now: datetime) -> ColumnElement[bool]:
    """Select the templates that can be renewed for the engine of *weights_sha256*."""
    ended = select(EngineRow.weights_sha256).where(EngineRow.templates_end_on <= now.date())
    grants = select(Grant.id).where(permits.in_force(now))
    renewal_grants = grants.where(Grant.purpose == Purpose.TEMPLATE_RENEWAL)
    return and_(
        Template.weights_sha256 != weights_sha256,
        Template.weights_sha256.not_in(ended),
        or_(Template.not_renewable_by.is_(None), Template.not_renewable_by != weights_sha256),
        Template.grant_id.in_(grants),
        Template.enrolment_id.in_(select(Photo.enrolment_id).where(Photo.grant_id.in_(renewal_grants))),
    )


def renew_templates(run: RenewalRun) -> RenewalCounts:
    """Renew every template that can be renewed, one enrolment after the other. Repeating it is harmless.

    Raises:
        NotInForceError: the run's engine is not in force.
    """
    with run.vault.data.read() as session:
        engine_history.require_in_force(session, run.engine.card)
        if not engine_history.has_superseded(session):
            return RenewalCounts()
    counts, after, total = RenewalCounts(), None, 0
    while page := _page(run, after):
        for enrolment_id in page:
            total += 1
            run.report(f"{total} enrolments")
            try:
                counts += _renew(run, enrolment_id)
            except BusyError:
                # A renewal must not compete with requests for the engine; the next run continues.
                return counts + RenewalCounts(left=1)
        after = page[-1]
    return counts


def _page(run: RenewalRun, after: UUID | None) -> Sequence[UUID]:
    due = is_renewable(run.engine.card.weights_sha256, now=run.clock())
    query = select(Template.enrolment_id).where(due).distinct().order_by(Template.enrolment_id).limit(PAGE)
    with run.vault.data.read() as session:
        return session.scalars(query if after is None else query.where(Template.enrolment_id > after)).all()


@operation("renewing a template")
def _renew(run: RenewalRun, enrolment_id: UUID) -> RenewalCounts:
    """Renew the templates of one enrolment, or record why that is impossible.

    Raises:
        BusyError: the engine cannot take a photo now.
    """
    try:
        with run.vault.data.read() as session:
            found = _find(session, enrolment_id, run.engine.card.weights_sha256, now=run.clock())
        measured = _measure(run, found)
        step("measured")
        if isinstance(measured, str):
            return _record_failure(run, found, measured)
        return _replace_templates(run, found, measured)
    except ENDED_MEANWHILE:
        return RenewalCounts(left=1)
    except KekError as error:
        log.error("a template cannot be renewed", error=type(error).__name__)
        return RenewalCounts(left=1)


def _find(session: Session, enrolment_id: UUID, weights_sha256: str, *, now: datetime) -> _Renewable:
    """Return the rows of an enrolment that can be renewed.

    Raises:
        ConsentRequiredError: there are none.
    """
    due = and_(Template.enrolment_id == enrolment_id, is_renewable(weights_sha256, now=now))
    templates = session.scalars(select(Template).where(due).order_by(Template.id)).all()
    if not templates:
        raise ConsentRequiredError
    # An entry names one previous engine; templates of another are left for the next run.
    templates = [row for row in templates if row.weights_sha256 == templates[0].weights_sha256]
    permit, _ = permits.find_for_renewal(
        session, subject_id=templates[0].subject_id, consent_ids=[row.grant_id for row in templates], now=now
    )
    kept = and_(Photo.enrolment_id == enrolment_id, Photo.grant_id == permit.grant_ids[0])
    return _Renewable(permit, templates, session.scalars(select(Photo).where(kept).order_by(Photo.position)).all())


def _measure(run: RenewalRun, found: _Renewable) -> list[Vector] | str:
    """Return the photos' vectors, or the reason why the engine cannot use them.

    Raises:
        BusyError: the engine cannot take a photo now.
        ConsentRequiredError: a consent, a template or a photo ended during the wait.
    """
    measured = []
    for photo in found.photos:
        if not run.wait_for_turn():
            raise BusyError
        # The wait has no limit: check that the subject has not withdrawn or restricted meanwhile.
        with run.vault.data.read() as session:
            _require_unchanged(session, run, found, now=run.clock())
        try:
            jpeg = store.open_photo(run.vault, photo)
        except SealError:
            return UNREADABLE
        (result,) = run.engine.pool.measure(found.permit, [jpeg])
        if isinstance(result, Flaw):
            return result.slug
        measured.append(result.vector)
    odd = policy.find_odd_photos(measured, metric=run.engine.card.metric, threshold=run.engine.threshold)
    return NotTheSamePersonError.slug if odd else measured


def _require_unchanged(session: Session, run: RenewalRun, found: _Renewable, *, now: datetime) -> None:
    """Raise `ConsentRequiredError` if a consent, a template or a photo ended, or the engine changed."""
    card = run.engine.card
    if not engine_history.is_in_force(session, card):
        raise ConsentRequiredError
    if _find(session, found.enrolment_id, card.weights_sha256, now=now).row_ids() != found.row_ids():
        raise ConsentRequiredError


def _replace_templates(run: RenewalRun, found: _Renewable, measured: Sequence[Vector]) -> RenewalCounts:
    """Replace each template by a new one. The old keys are destroyed after the commit."""
    card = run.engine.card
    reference = vectors.mean(measured, metric=card.metric)
    with run.vault.change() as change:
        now = run.clock()
        _require_unchanged(change.session, run, found, now=now)
        entry_id = _record(change.session, run, found, LoggedAct.TEMPLATE_RENEWED, now=now, photos=len(measured))
        for row in found.templates:
            grant = change.session.get_one(Grant, row.grant_id)
            generation = change.issue(Owner.grant(grant.id))
            columns = store.EnrolmentColumns(grant, row.enrolment_id, entry_id, row.enrolled_on, generation)
            store.put_template(change.session, run.vault, columns, card, reference)
        store.drop_old_keys_after_commit(change)
    return RenewalCounts(renewed=len(found.templates))


def _record_failure(run: RenewalRun, found: _Renewable, reason: str) -> RenewalCounts:
    """Record, in the subject's entries and on the templates, that this engine cannot use the photos."""
    with run.vault.data.write() as session:
        now = run.clock()
        _require_unchanged(session, run, found, now=now)
        _record(session, run, found, LoggedAct.TEMPLATE_NOT_RENEWED, now=now, slug=reason)
        failed = Template.id.in_([row.id for row in found.templates])
        session.execute(update(Template).where(failed).values(not_renewable_by=run.engine.card.weights_sha256))
    return RenewalCounts(have_to_enrol_again=len(found.templates))


def _record(
    session: Session, run: RenewalRun, found: _Renewable, act: LoggedAct, *, now: datetime, **more: Value
) -> UUID:
    """Write the entry about a renewal. It names both engines."""
    previous, card = found.templates[0], run.engine.card
    return record_entry(
        session,
        run.vault,
        act,
        subject_id=found.subject_id,
        at=now.isoformat(),
        enrolment_id=str(found.enrolment_id),
        templates=len(found.templates),
        engine=card.id,
        weights_sha256=card.weights_sha256,
        engine_before=previous.engine_id,
        weights_before=previous.weights_sha256,
        **more,
    )
