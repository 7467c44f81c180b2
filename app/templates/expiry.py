"""End the templates of superseded engines on the announced day. The consents stay in force.

The photos of an enrolment are deleted with its last template, since they were kept only to renew it.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, select

from app.consent.grant_keys import renew_key
from app.kit.crash_points import operation
from app.subjects import service as subjects
from app.templates import store
from app.templates.log_entries import record_entry
from app.templates.tables import EngineRow, Photo, Template
from app.transparency.log.entries import LoggedAct, append_open_entry, record_or_note_unrecorded
from app.vault.vault import Change, Vault
from app.web.callers import UnauthenticatedError

PAGE = 25
"""Templates ended in one transaction. Each needs a new key for its consent, made under the write lock."""


@operation("ending superseded templates")
def end_superseded_templates(vault: Vault, *, now: datetime) -> int:
    """End every template of a superseded engine whose last day has come. Return how many ended."""
    due, ended = _is_due(now.date()), 0
    while page := _page(vault, due):
        with vault.change() as change:
            rows = change.session.scalars(select(Template).where(due, Template.id.in_(page))).all()
            change.session.expunge_all()
            _end(change, vault, rows, now=now)
        ended += len(rows)
    return ended


@operation("ending photos")
def end_photos_without_template(vault: Vault, *, now: datetime) -> int:
    """End kept photos whose enrolment has no template left: nothing is left to renew. Return how many.

    The end of the last template ends its photos too. This finds photos that an earlier version of Mien left.
    """
    ended, orphaned = 0, Photo.enrolment_id.not_in(select(Template.enrolment_id))
    page = select(Photo.enrolment_id).where(orphaned).distinct().limit(PAGE)
    while True:
        with vault.data.read() as session:
            enrolment_ids = session.scalars(page).all()
        if not enrolment_ids:
            return ended
        with vault.change() as change:
            count = select(func.count()).select_from(Photo).where(orphaned, Photo.enrolment_id.in_(enrolment_ids))
            photos = change.session.scalar(count) or 0
            for grant_id in store.drop_photos_without_template(change.session, enrolment_ids):
                renew_key(change, grant_id, after_commit=True)
            if photos:
                append_open_entry(
                    change.session, LoggedAct.RETENTION_RUN, photos_ended=photos, on=now.date().isoformat()
                )
            ended += photos


def _is_due(today: date) -> ColumnElement[bool]:
    """Select the templates to end, except those of subjects under erasure: the erasure deletes them."""
    engines = select(EngineRow.weights_sha256).where(EngineRow.templates_end_on <= today)
    return and_(Template.weights_sha256.in_(engines), Template.subject_id.not_in(subjects.erasing_subject_ids()))


def _page(vault: Vault, due: ColumnElement[bool]) -> Sequence[UUID]:
    with vault.data.read() as session:
        # By subject: templates of one enrolment share an entry.
        return session.scalars(select(Template.id).where(due).order_by(Template.subject_id).limit(PAGE)).all()


def _end(change: Change, vault: Vault, rows: Collection[Template], *, now: datetime) -> None:
    change.session.execute(delete(Template).where(Template.id.in_([row.id for row in rows])))
    emptied = store.drop_photos_without_template(change.session, {row.enrolment_id for row in rows})
    # After the commit: a crash before it would leave dead rows, which the purge cannot tell from withdrawn ones.
    for grant_id in {row.grant_id for row in rows} | emptied:
        renew_key(change, grant_id, after_commit=True)
    counts = Counter((row.subject_id, row.enrolment_id, row.engine_id, row.weights_sha256) for row in rows)
    for (subject_id, enrolment_id, engine, weights), count in counts.items():
        write = partial(
            record_entry,
            change.session,
            vault,
            LoggedAct.TEMPLATE_ENDED,
            subject_id=subject_id,
            at=now.isoformat(),
            enrolment_id=str(enrolment_id),
            templates=count,
            engine=engine,
            weights_sha256=weights,
        )
        # Templates end even if the subject's key does not open.
        with suppress(UnauthenticatedError):
            record_or_note_unrecorded(change.session, write, state="template_ended", now=now)
    if rows:
        append_open_entry(change.session, LoggedAct.RETENTION_RUN, templates_ended=len(rows), on=now.date().isoformat())
