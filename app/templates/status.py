"""Status of each template for its subject: its engine, its last day, and the next step."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.faces import vectors
from app.faces.permit import Purpose
from app.subjects import service as subjects
from app.templates import store
from app.templates.engine_history import engine_in_force
from app.templates.tables import EngineRow, Photo, Template
from app.vault.register import KeyGoneError
from app.vault.vault import Vault

ENROL_AGAIN = "Enrol again (`POST /v1/me/enrolments`): this template can no longer be compared."
NOTHING_TO_DO = "Nothing: the service makes a new template from the photos that you agreed to keep."
LIFT_STOP = (
    "Lift the restriction or the dispute. "
    "The service then makes a new template from the photos that you agreed to keep."
)
PHOTOS_UNUSABLE = f"The new engine cannot use the photos that you agreed to keep. {ENROL_AGAIN}"
MISLABELLED = f"This template names the wrong engine and is never compared. Tell the operator. {ENROL_AGAIN}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateEngine:
    """An engine and the hash of its weights."""

    engine: str
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateState:
    """Status of one template."""

    template_id: UUID
    consent_id: UUID
    enrolment_id: UUID
    engine: str
    """Engine that made the template, by the label sealed with it."""
    weights_sha256: str
    labelled_falsely_as: TemplateEngine | None
    """Label on the template's row, if it differs from the sealed one."""
    engine_in_force: bool
    ends_on: date | None
    """Day on which the template ends because its engine was superseded; None if only its consent ends it."""
    to_do: str | None


@dataclass(frozen=True, slots=True)
class _SubjectState:
    """Facts about one subject that decide the status of their templates."""

    weights_in_force: str | None
    renewable_enrolments: frozenset[UUID]
    """Enrolments with photos kept under a renewal consent."""
    stopped_consents: frozenset[UUID]
    """Consents that the subject restricted or paused."""


def read_labels(
    engine: EngineRow | None, sealed_weights: str, row: TemplateEngine
) -> tuple[TemplateEngine, TemplateEngine | None]:
    """Return the label sealed with a template, and the label of its row if that is false.

    Args:
        engine: the engine of the sealed label; None if it was never in force in this service.
        sealed_weights: the weights hash that is sealed with the template's vector.
        row: the label of the template's row.
    """
    if engine is not None:
        name = engine.engine_id
    else:
        name = vectors.UNLABELLED_ENGINE if sealed_weights == vectors.UNLABELLED_WEIGHTS else "unknown"
    return TemplateEngine(
        engine=name, weights_sha256=sealed_weights
    ), None if row.weights_sha256 == sealed_weights else row


def list_statuses(vault: Vault, subject_id: UUID, *, now: datetime) -> list[TemplateState]:
    """Return the status of each of the subject's templates, except those whose key was destroyed."""
    statuses, key_gone = _read_statuses(vault, subject_id, now)
    if key_gone:
        # The key of a replaced template is destroyed after the commit, so a second read finds the new template.
        statuses, _ = _read_statuses(vault, subject_id, now)
    return statuses


def _read_statuses(vault: Vault, subject_id: UUID, now: datetime) -> tuple[list[TemplateState], bool]:
    with vault.data.read() as session:
        state = _subject_state(session, subject_id, now)
        rows = session.scalars(select(Template).where(Template.subject_id == subject_id).order_by(Template.id)).all()
        engines = {engine.weights_sha256: engine for engine in session.scalars(select(EngineRow))}
    statuses, key_gone = [], False
    for row in rows:
        try:
            weights = store.sealed_weights(vault, row)
        except KeyGoneError:
            key_gone = True
        else:
            statuses.append(_status(row, weights, engines, state))
    return statuses, key_gone


def _subject_state(session: Session, subject_id: UUID, now: datetime) -> _SubjectState:
    granted = and_(Grant.subject_id == subject_id, Grant.valid_until > now)
    renewal = select(Grant.id).where(granted, Grant.purpose == Purpose.TEMPLATE_RENEWAL)
    stopped = select(Grant.id).where(granted)
    if not subjects.get(session, subject_id).restricted:
        stopped = stopped.where(Grant.matching_period_id.is_(None))
    return _SubjectState(
        in_force.weights_sha256 if (in_force := engine_in_force(session)) else None,
        frozenset(session.scalars(select(Photo.enrolment_id).where(Photo.grant_id.in_(renewal)))),
        frozenset(session.scalars(stopped)),
    )


def _status(row: Template, weights: str, engines: Mapping[str, EngineRow], state: _SubjectState) -> TemplateState:
    row_label = TemplateEngine(engine=row.engine_id, weights_sha256=row.weights_sha256)
    sealed, false_label = read_labels(engines.get(weights), weights, row_label)
    in_force = weights == state.weights_in_force
    # Expiry selects templates by their row, unopened; so the row's engine gives the day.
    engine = engines.get(row.weights_sha256)
    return TemplateState(
        template_id=row.id,
        consent_id=row.grant_id,
        enrolment_id=row.enrolment_id,
        engine=sealed.engine,
        weights_sha256=sealed.weights_sha256,
        labelled_falsely_as=false_label,
        engine_in_force=in_force,
        ends_on=engine.templates_end_on if engine else None,
        to_do=None if in_force and false_label is None else _next_step(row, false_label, state),
    )


def _next_step(row: Template, false_label: TemplateEngine | None, state: _SubjectState) -> str:
    if false_label is not None:
        return MISLABELLED
    if row.enrolment_id not in state.renewable_enrolments:
        return ENROL_AGAIN
    if state.weights_in_force is not None and row.not_renewable_by == state.weights_in_force:
        return PHOTOS_UNUSABLE
    return LIFT_STOP if row.grant_id in state.stopped_consents else NOTHING_TO_DO
