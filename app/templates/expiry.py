"""Templates of an engine that another took the place of end on the day that was said; consents stand.

The photos that were kept for an enrolment go with its last template: they were kept to renew that, and nothing else.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, datetime
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, select
from sqlalchemy.orm import Session

from app.kit.crash_points import operation
from app.subjects import service as subjects
from app.templates import store
from app.templates.tables import EngineRow, Template
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct, append_open_entry, record_or_note_unrecorded
from app.vault.register import KeyGoneError, Owner
from app.vault.vault import Change, Vault
from app.web.auth import UnauthenticatedError

PAGE = 25
"""Templates that end in one transaction. Each makes a key for its consent, and nobody else writes meanwhile."""


@operation("ending templates")
def end_superseded(vault: Vault, *, now: datetime) -> int:
    """End every template whose engine was superseded and had its time. Returns how many."""
    over, ended = _over(now.date()), 0
    while page := _page(vault, over):
        with vault.change() as change:
            rows = change.session.scalars(select(Template).where(over, Template.id.in_(page))).all()
            change.session.expunge_all()
            _end(change, vault, rows, now=now)
        ended += len(rows)
    return ended


def _over(today: date) -> ColumnElement[bool]:
    """Select the templates whose day has come, but not those of people who are being erased: these go with them."""
    engines = select(EngineRow.weights_sha256).where(EngineRow.templates_end_on <= today)
    return and_(Template.weights_sha256.in_(engines), Template.subject_id.not_in(subjects.erasing_subject_ids()))


def _page(vault: Vault, over: ColumnElement[bool]) -> Sequence[UUID]:
    with vault.data.read() as session:
        # Of one person together: they have one entry of it.
        return session.scalars(select(Template.id).where(over).order_by(Template.subject_id).limit(PAGE)).all()


def _end(change: Change, vault: Vault, rows: Collection[Template], *, now: datetime) -> None:
    change.session.execute(delete(Template).where(Template.id.in_([row.id for row in rows])))
    emptied = store.drop_photos_without_template(change.session, {row.enrolment_id for row in rows})
    for grant_id in {row.grant_id for row in rows} | emptied:
        _supersede(change, grant_id)
    of_each = Counter((row.subject_id, row.enrolment_id, row.engine_id, row.weights_sha256) for row in rows)
    for (subject_id, enrolment_id, engine, weights), count in of_each.items():
        told: dict[str, entries.Value] = {
            "at": now.isoformat(),
            "enrolment_id": str(enrolment_id),
            "templates": count,
            "engine": engine,
            "weights_sha256": weights,
        }
        _note(change.session, vault, subject_id, told, now)
    if rows:
        append_open_entry(change.session, LoggedAct.RETENTION_RUN, templates_ended=len(rows), on=now.date().isoformat())


def _supersede(change: Change, grant_id: UUID) -> None:
    """Destroy what the consent's rows were sealed under; the consent stands, and so it has a key.

    After the commit: before it, a crash between the two would leave dead rows, of which the purge cannot tell that it
    was time that ended them.
    """
    owner = Owner.grant(grant_id)
    try:
        fresh = change.issue(owner)
    except KeyGoneError:
        # It has ended, in a commit that failed: the purge removes the rest of it.
        return
    change.supersede(owner, keep={fresh, *store.generations_in_use(change.session, grant_id)})


def _note(session: Session, vault: Vault, subject_id: UUID, told: dict[str, entries.Value], now: datetime) -> None:
    """Tell the person, among their entries; they end all the same if the person's key does not open."""

    def write() -> None:
        key = subjects.key(vault, subject_id)
        entries.append(session, key, subject_id=subject_id, entry_id=uuid4(), act=LoggedAct.TEMPLATE_ENDED, **told)

    with suppress(UnauthenticatedError):
        record_or_note_unrecorded(session, write, state="template_ended", now=now)
