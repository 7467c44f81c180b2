"""What a person is told of each of their templates: its engine, until when it is kept, and what there is to do."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.faces.permit import Purpose
from app.subjects import service as subjects
from app.templates import engine_history, store
from app.templates.tables import EngineRow, Photo, Template
from app.vault.register import KeyGoneError
from app.vault.vault import Vault

ENROL = "Enrol again (`POST /v1/me/enrolments`): nobody can be compared with you by this template."
BY_ITSELF = "Nothing: a new one is made from the photos that you agreed to keep."
STOPPED = "Lift the restriction or the dispute; a new one is then made from the photos that you agreed to keep."
NO_LONGER = f"The photos that you agreed to keep will not do for the new engine. {ENROL}"
MISLABELLED = f"Its label is false, and it is never compared. Tell whoever runs this service. {ENROL}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """Which engine a template is said to be of."""

    engine: str
    weights_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one template stands."""

    template_id: UUID
    consent_id: UUID
    enrolment_id: UUID
    label: Label
    """As it is sealed."""
    labelled_falsely_as: Label | None
    """What its row says, where that is not so."""
    engine_in_force: bool
    ends_on: date | None
    """The day on which it ends because its engine is no longer in force; None if only its consent ends it."""
    to_do: str | None

    def told(self) -> dict[str, Any]:
        """Return it as the person's documents have it."""
        falsely = self.labelled_falsely_as
        return {
            "template_id": str(self.template_id),
            "consent_id": str(self.consent_id),
            "enrolment_id": str(self.enrolment_id),
            **asdict(self.label),
            "labelled_falsely_as": None if falsely is None else asdict(falsely),
            "engine_in_force": self.engine_in_force,
            "ends_on": None if self.ends_on is None else self.ends_on.isoformat(),
            "to_do": self.to_do,
        }


@dataclass(frozen=True, slots=True)
class _Known:
    """What the templates of one person are held against."""

    in_force: EngineRow | None
    kept: frozenset[UUID]
    """The enrolments of which photos are kept for renewal."""
    stopped: frozenset[UUID]
    """The consents that nobody is matched on now, by their person's will."""


def label_of(session: Session, weights_sha256: str) -> Label:
    """Return the label of what was made with these weights."""
    return Label(engine=engine_history.name_of(session, weights_sha256), weights_sha256=weights_sha256)


def falsely(row: Label, sealed: Label) -> Label | None:
    """Return what a row says of its template, if that is not what is sealed."""
    return None if row.weights_sha256 == sealed.weights_sha256 else row


def of(vault: Vault, subject_id: UUID, *, now: datetime) -> list[Standing]:
    """Return how each of the person's templates stands; one that ends just now is left out."""
    with vault.data.read() as session:
        known = _known(session, subject_id, now)
        rows = session.scalars(select(Template).where(Template.subject_id == subject_id).order_by(Template.id)).all()
        ends = {one.weights_sha256: one.templates_end_on for one in session.scalars(select(EngineRow))}
    labels = {row.id: weights for row, weights in _sealed(vault, rows)}
    with vault.data.read() as session:
        found = {one: label_of(session, one) for one in set(labels.values())}
    return [_standing(row, found[labels[row.id]], ends, known) for row in rows if row.id in labels]


def _known(session: Session, subject_id: UUID, now: datetime) -> _Known:
    mine = and_(Grant.subject_id == subject_id, Grant.valid_until > now)
    renewal = select(Grant.id).where(mine, Grant.purpose == Purpose.TEMPLATE_RENEWAL)
    paused = select(Grant.id).where(mine, Grant.matching_period_id.is_(None))
    if subjects.is_restricted(session, subject_id):
        paused = select(Grant.id).where(mine)
    return _Known(
        engine_history.in_force(session),
        frozenset(session.scalars(select(Photo.enrolment_id).where(Photo.grant_id.in_(renewal)))),
        frozenset(session.scalars(paused)),
    )


def _sealed(vault: Vault, rows: Iterable[Template]) -> Iterator[tuple[Template, str]]:
    """Give each row with the weights that are sealed in it; one whose key is gone is left out."""
    for row in rows:
        try:
            yield row, store.sealed_weights(vault, row)
        except KeyGoneError:
            continue


def _standing(row: Template, sealed: Label, ends: Mapping[str, date | None], known: _Known) -> Standing:
    said = Label(engine=row.engine_id, weights_sha256=row.weights_sha256)
    in_force = known.in_force is not None and known.in_force.weights_sha256 == sealed.weights_sha256
    return Standing(
        template_id=row.id,
        consent_id=row.grant_id,
        enrolment_id=row.enrolment_id,
        label=sealed,
        labelled_falsely_as=falsely(said, sealed),
        engine_in_force=in_force,
        # It ends by its row, as everything does that is looked up unopened.
        ends_on=ends.get(row.weights_sha256),
        to_do=_to_do(row, sealed, known) if not in_force or falsely(said, sealed) else None,
    )


def _to_do(row: Template, sealed: Label, known: _Known) -> str:
    if row.weights_sha256 != sealed.weights_sha256:
        return MISLABELLED
    if row.enrolment_id not in known.kept:
        return ENROL
    if known.in_force is not None and row.not_renewable_by == known.in_force.weights_sha256:
        return NO_LONGER
    return STOPPED if row.grant_id in known.stopped else BY_ITSELF
