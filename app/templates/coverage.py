"""Counts of templates by engine: in force, renewable, or to be enrolled again.

Also counts mislabelled templates, whose row names another engine than the label sealed with the vector. No released
version writes such a row, and none is ever compared.
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
"""Templates opened between two reads."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Templates of one engine."""

    engine: str
    weights_sha256: str
    in_force: bool
    in_force_from: date
    in_force_until: date | None
    templates_end_on: date | None
    templates: int
    renewable: int
    """Templates that are renewed from kept photos."""
    enrol_again: int
    """Templates whose subject has to enrol again, or has stopped matching."""


def list_coverage(session: Session, *, now: datetime) -> list[Coverage]:
    """Return the counts of each engine, the one in force first."""
    in_force = engine_history.engine_in_force(session)
    due = true() if in_force is None else renewal.is_renewable(in_force.weights_sha256, now=now)
    by_weights = select(Template.weights_sha256, func.count()).group_by(Template.weights_sha256)
    counts = {row[0]: row[1] for row in session.execute(by_weights)}
    renewable = {row[0]: row[1] for row in session.execute(by_weights.where(due))}
    order = (EngineRow.in_force_until.is_(None).desc(), EngineRow.in_force_until.desc(), EngineRow.engine_id)
    return [
        _coverage(engine, counts.get(engine.weights_sha256, 0), renewable.get(engine.weights_sha256, 0))
        for engine in session.scalars(select(EngineRow).order_by(*order))
    ]


def _coverage(engine: EngineRow, templates: int, renewable: int) -> Coverage:
    in_force = engine.in_force_until is None
    return Coverage(
        engine=engine.engine_id,
        weights_sha256=engine.weights_sha256,
        in_force=in_force,
        in_force_from=engine.in_force_from,
        in_force_until=engine.in_force_until,
        templates_end_on=engine.templates_end_on,
        templates=templates,
        renewable=0 if in_force else renewable,
        enrol_again=0 if in_force else templates - renewable,
    )


def count_by_engine(session: Session) -> Sequence[tuple[EngineRow, int]]:
    """Return every engine with the number of its templates."""
    same_engine = and_(Template.weights_sha256 == EngineRow.weights_sha256, Template.engine_id == EngineRow.engine_id)
    query = (
        select(EngineRow, func.count(Template.weights_sha256))
        .outerjoin(Template, same_engine)
        .group_by(EngineRow.weights_sha256)
    )
    return [(engine, count) for engine, count in session.execute(query)]


def count_mislabelled(vault: Vault, *, tell: Tell = lambda _progress: None) -> int:
    """Open every template and count the mislabelled ones."""
    found, opened, after = 0, 0, None
    query = select(Template).order_by(Template.id).limit(PAGE)
    while True:
        with vault.data.read() as session:
            page = session.scalars(query if after is None else query.where(Template.id > after)).all()
        found += sum(_is_mislabelled(vault, template) for template in page)
        opened += len(page)
        if len(page) < PAGE:
            return found
        tell(f"{opened} templates opened")
        after = page[-1].id


def _is_mislabelled(vault: Vault, template: Template) -> bool:
    try:
        return store.sealed_weights(vault, template) != template.weights_sha256
    except (KeyGoneError, SealError):
        # Dead or damaged, so it is never compared either.
        return False


def report_mislabelled(vault: Vault) -> None:
    """Write an error to the application log if any template is mislabelled."""
    if found := count_mislabelled(vault):
        log.error(
            "templates are labelled with another engine than their own",
            templates=found,
            see="docs/how-to/change-the-engine.md",
        )
