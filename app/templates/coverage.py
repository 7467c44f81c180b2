"""How many templates there are of each engine, and what becomes of those that are not of the one in force. Counts only.

Also how many are labelled with another engine than the one that is sealed in them: no working Mien writes such a row,
and nobody is ever compared with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog
from sqlalchemy import and_, func, select, true
from sqlalchemy.orm import Session

from app.kit.progress import Tell
from app.templates import engine_history, renewal, store
from app.templates.tables import EngineRow, Template
from app.vault.register import KeyGoneError
from app.vault.seal import SealError
from app.vault.vault import Vault

PAGE = 500
"""Templates that are opened between two reads."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What one engine covers."""

    engine: str
    weights_sha256: str
    in_force: bool
    in_force_from: date
    in_force_until: date | None
    templates_end_on: date | None
    templates: int
    renewable: int
    """Of which photos are kept, so that they are renewed without their person."""
    enrol_again: int
    """Whose person has to enrol again. Those of people who have stopped matching are among them."""


def by_engine(session: Session, *, now: datetime) -> list[Coverage]:
    """Return what each engine covers, the one in force first."""
    in_force = engine_history.in_force(session)
    due = true() if in_force is None else renewal.renewable(in_force.weights_sha256, now=now)
    by_weights = select(Template.weights_sha256, func.count()).group_by(Template.weights_sha256)
    counts = {row[0]: row[1] for row in session.execute(by_weights)}
    renewable = {row[0]: row[1] for row in session.execute(by_weights.where(due))}
    order = (EngineRow.in_force_until.is_(None).desc(), EngineRow.in_force_until.desc(), EngineRow.engine_id)
    return [
        _coverage(one, counts.get(one.weights_sha256, 0), renewable.get(one.weights_sha256, 0))
        for one in session.scalars(select(EngineRow).order_by(*order))
    ]


def _coverage(one: EngineRow, templates: int, renewable: int) -> Coverage:
    current = one.in_force_until is None
    return Coverage(
        engine=one.engine_id,
        weights_sha256=one.weights_sha256,
        in_force=current,
        in_force_from=one.in_force_from,
        in_force_until=one.in_force_until,
        templates_end_on=one.templates_end_on,
        templates=templates,
        renewable=0 if current else renewable,
        enrol_again=0 if current else templates - renewable,
    )


def count_by_engine(session: Session) -> Sequence[tuple[EngineRow, int]]:
    """Return every engine with the number of its templates."""
    of_it = and_(Template.weights_sha256 == EngineRow.weights_sha256, Template.engine_id == EngineRow.engine_id)
    query = (
        select(EngineRow, func.count(Template.weights_sha256))
        .outerjoin(Template, of_it)
        .group_by(EngineRow.weights_sha256)
    )
    return session.execute(query).tuples().all()


def mislabelled(vault: Vault, *, tell: Tell = lambda _doing: None) -> int:
    """Open every template; count those whose row says that they are of another engine than they are."""
    found, looked_at, after = 0, 0, None
    query = select(Template).order_by(Template.id).limit(PAGE)
    while True:
        with vault.data.read() as session:
            page = session.scalars(query if after is None else query.where(Template.id > after)).all()
        found += sum(_is_mislabelled(vault, one) for one in page)
        looked_at += len(page)
        if len(page) < PAGE:
            return found
        tell(f"{looked_at} templates opened")
        after = page[-1].id


def _is_mislabelled(vault: Vault, template: Template) -> bool:
    try:
        return store.sealed_weights(vault, template) != template.weights_sha256
    except (KeyGoneError, SealError):
        # It is dead, or damaged: nobody can be compared with it either way.
        return False


def report_mislabelled(vault: Vault) -> None:
    """Tell the operator of templates with a false label."""
    if found := mislabelled(vault):
        log.error(
            "templates are labelled with another engine than their own",
            templates=found,
            see="docs/how-to/change-the-engine.md",
        )
