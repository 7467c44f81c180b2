"""Counts of templates by engine: in force, renewable, or to be enrolled again.

Also counts mislabelled templates, whose row names another engine than the label sealed with the vector. No released
version writes such a row, and none is ever compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import structlog
from sqlalchemy import and_, false, func, select
from sqlalchemy.orm import Session

from app.kit.progress import Progress
from app.templates import engine_history, renewal, store
from app.templates.tables import EngineRow, Template
from app.vault import dead_rows
from app.vault.register import KeyGoneError
from app.vault.seal import SealError
from app.vault.vault import Vault

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
    current = engine_history.engine_in_force(session)
    renewable = false() if current is None else renewal.is_renewable(current.weights_sha256, now=now)
    query = (
        select(EngineRow, func.count(Template.id), func.count(Template.id).filter(renewable))
        .outerjoin(Template, Template.weights_sha256 == EngineRow.weights_sha256)
        .group_by(EngineRow.weights_sha256)
        .order_by(EngineRow.in_force_until.is_(None).desc(), EngineRow.in_force_until.desc(), EngineRow.engine_id)
    )
    return [
        Coverage(
            engine=engine.engine_id,
            weights_sha256=engine.weights_sha256,
            in_force=engine is current,
            in_force_from=engine.in_force_from,
            in_force_until=engine.in_force_until,
            templates_end_on=engine.templates_end_on,
            templates=templates,
            renewable=renewed,
            enrol_again=0 if engine is current else templates - renewed,
        )
        for engine, templates, renewed in session.execute(query)
    ]


def count_by_engine(session: Session) -> Sequence[tuple[EngineRow, int]]:
    """Return every engine with the number of its templates."""
    same_engine = and_(Template.weights_sha256 == EngineRow.weights_sha256, Template.engine_id == EngineRow.engine_id)
    query = select(EngineRow, func.count(Template.weights_sha256)).outerjoin(Template, same_engine)
    return [(engine, count) for engine, count in session.execute(query.group_by(EngineRow.weights_sha256))]


def count_mislabelled(vault: Vault, *, progress: Progress = lambda _progress: None) -> int:
    """Open every template and count the mislabelled ones."""
    mislabelled, opened = 0, 0
    for page in dead_rows.read_pages(vault.data, *store.SEALED_TEMPLATE_COLUMNS):
        mislabelled += sum(_is_mislabelled(vault, store.SealedTemplate._make(row)) for row in page)
        opened += len(page)
        progress(f"{opened} templates opened")
    return mislabelled


def _is_mislabelled(vault: Vault, template: store.SealedTemplate) -> bool:
    try:
        return store.sealed_weights(vault, template) != template.weights_sha256
    except (KeyGoneError, SealError):
        # Dead or damaged, so it is never compared either.
        return False


def report_mislabelled(vault: Vault) -> None:
    """Write an error to the application log if any template is mislabelled."""
    if mislabelled := count_mislabelled(vault):
        log.error(
            "templates are labelled with another engine than their own",
            templates=mislabelled,
            see="docs/how-to/change-the-engine.md",
        )
