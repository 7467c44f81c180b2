"""Telling people that a relying party tried their reference among many others: in their lines, and with an entry."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from app.comparisons import history
from app.comparisons.tables import Comparison
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError, Key, SealError
from app.vault.vault import Vault

log = structlog.get_logger()

_LINE = select(Comparison.subject_id, Comparison.sealed).where(Comparison.id == bindparam("comparison_id"))
_MARK = update(Comparison).where(Comparison.id == bindparam("comparison_id")).values(sealed=bindparam("marked"))


def tell(
    session: Session, vault: Vault, comparison_ids: Collection[UUID], *, relying_party_id: UUID, now: datetime
) -> int:
    """Mark these comparisons in their people's lists, and write an entry for each person. Returns how many people.

    Who was erased meanwhile has no lines any more.
    """
    lines: dict[UUID, dict[UUID, bytes]] = {}
    for comparison_id in comparison_ids:
        found = session.connection().execute(_LINE, {"comparison_id": comparison_id}).first()
        if found is not None:
            lines.setdefault(found[0], {})[comparison_id] = found[1]
    for subject_id, mine in lines.items():
        try:
            key = vault.register.key(Owner.subject(subject_id))
            _tell_one(session, key, subject_id, mine, relying_party_id=relying_party_id, now=now)
        except (KeyGoneError, KekError, SealError) as error:
            # The others are told, and the sweep is stopped, all the same.
            log.error("somebody cannot be told of a sweep", error=type(error).__name__)
    return len(lines)


def _tell_one(
    session: Session,
    key: Key,
    subject_id: UUID,
    lines: dict[UUID, bytes],
    *,
    relying_party_id: UUID,
    now: datetime,
) -> None:
    for comparison_id, sealed in lines.items():
        marked = history.in_sweep(key, comparison_id, sealed)
        session.connection().execute(_MARK, {"comparison_id": comparison_id, "marked": marked})
    told: dict[str, entries.Value] = {
        "relying_party_id": str(relying_party_id),
        "at": now.isoformat(),
        "comparisons": len(lines),
    }
    entries.append(session, key, subject_id=subject_id, entry_id=uuid4(), act=LoggedAct.SWEEP_TOUCHED, **told)
