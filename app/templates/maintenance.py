"""Cleanup after a crash or a restored backup: dead rows, and keys that seal nothing."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import delete, select, union
from sqlalchemy.orm import Session

from app.consent.grant_keys import generations_in_use
from app.consent.tables import Grant
from app.templates.log_entries import record_deletion
from app.templates.tables import Photo, Template
from app.transparency.log.entries import record_or_note_unrecorded
from app.vault import dead_rows
from app.vault.register import Owner
from app.vault.vault import Vault


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Delete templates and photos whose key was destroyed. Return how many."""
    removed = 0
    for table in (Template, Photo):
        columns = (table.grant_id, table.key_generation, table.subject_id, table.enrolment_id)
        for page in dead_rows.read_pages(vault.data, table.id, *columns):
            keys = {row.id: (Owner.grant(row.grant_id).digest, row.key_generation) for row in page}
            living = dead_rows.live_slots(vault, {owner for owner, _ in keys.values()})
            dead = {
                row_id: (owner, generation)
                for row_id, (owner, generation) in keys.items()
                if generation not in living.get(owner, ())
            }
            dead_rows.refuse_older_register(vault, dead.values())
            if dead:
                with vault.data.write() as session:
                    session.execute(delete(table).where(table.id.in_(dead)))
                    subjects = {row.enrolment_id: row.subject_id for row in page if row.id in dead}
                    _record_deletions(session, vault, subjects, now=now)
                removed += len(dead)
    return removed


def _record_deletions(session: Session, vault: Vault, subjects: Mapping[UUID, UUID], *, now: datetime) -> None:
    """Write the missing entry of each enrolment that has no row left. *subjects* are by enrolment."""
    rows = (select(table.enrolment_id).where(table.enrolment_id.in_(subjects)) for table in (Template, Photo))
    remaining = set(session.scalars(union(*rows)))
    for enrolment_id, subject_id in subjects.items():
        if enrolment_id in remaining:
            continue
        write = partial(record_deletion, session, vault, subject_id=subject_id, enrolment_id=enrolment_id, now=now)
        record_or_note_unrecorded(session, write, state="deleted", now=now)


def drop_superseded_keys(vault: Vault) -> None:
    """Destroy the keys that an interrupted replacement left.

    Of each grant's keys, those that seal a row are kept, and any newer one. If none seals a row, the newest is kept.
    """
    for page in dead_rows.read_pages(vault.data, Grant.id):
        grants = {Owner.grant(row.id).digest: row.id for row in page}
        several = {owner for owner, living in dead_rows.live_slots(vault, grants).items() if len(living) > 1}
        if several:
            _drop_superseded(vault, [grants[owner] for owner in several])


def _drop_superseded(vault: Vault, grant_ids: Collection[UUID]) -> None:
    # The write lock keeps out writers that have issued a key and not yet written the row it seals.
    with vault.data.write() as session:
        for grant_id in session.scalars(select(Grant.id).where(Grant.id.in_(grant_ids))).all():
            owner = Owner.grant(grant_id)
            living = dead_rows.live_slots(vault, [owner.digest]).get(owner.digest, {})
            keep = generations_in_use(session, grant_id) or {max(living, default=0)}
            if any(generation < max(keep) and generation not in keep for generation in living):
                vault.register.drop_old_keys(owner, keep=keep)


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Yield the grants, a page at a time, with the generations of their keys that seal a row."""
    for page in dead_rows.read_pages(vault.data, Grant.id):
        ids = [row.id for row in page]
        found: dict[Owner, set[int]] = {Owner.grant(grant_id): set() for grant_id in ids}
        with vault.data.read() as session:
            for table in (Template, Photo):
                used = select(table.grant_id, table.key_generation).where(table.grant_id.in_(ids))
                for grant_id, generation in session.execute(used):
                    found[Owner.grant(grant_id)].add(generation)
        yield found
