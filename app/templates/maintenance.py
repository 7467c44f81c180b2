"""What a crash or a restored backup leaves to be done."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.templates.entries import record_deletion
from app.templates.store import generations_in_use
from app.templates.tables import Photo, Template
from app.transparency.log.entries import record_or_note_unrecorded
from app.vault import dead_rows
from app.vault.register import Owner
from app.vault.vault import Vault


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Remove templates and photos whose key is gone: ended, or replaced by a newer one. Returns how many."""
    removed = 0
    for table in (Template, Photo):
        of_whom = (table.subject_id, table.enrolment_id)
        for page in dead_rows.pages(vault, table.id, table.grant_id, table.key_generation, *of_whom):
            owners = [Owner.grant(row.grant_id).digest for row in page]
            living = dead_rows.generations(vault, set(owners))
            sealed_by = zip(page, owners, strict=True)
            dead = {
                row.id: (owner, row.key_generation)
                for row, owner in sealed_by
                if row.key_generation not in living.get(owner, ())
            }
            dead_rows.refuse_older_register(vault, dead.values())
            if dead:
                with vault.data.write() as session:
                    session.execute(delete(table).where(table.id.in_(dead)))
                    touched = {row.enrolment_id: row.subject_id for row in page if row.id in dead}
                    _record_deletions(session, vault, touched, now=now)
                removed += len(dead)
    return removed


def _record_deletions(session: Session, vault: Vault, touched: Mapping[UUID, UUID], *, now: datetime) -> None:
    """Write the entry of each enrolment of which nothing is left: it was lost with its commit, or with the data."""
    left = {
        one
        for table in (Template, Photo)
        for one in session.scalars(select(table.enrolment_id).where(table.enrolment_id.in_(touched)))
    }
    for enrolment_id, subject_id in touched.items():
        if enrolment_id in left:
            continue
        write = partial(record_deletion, session, vault, subject_id=subject_id, enrolment_id=enrolment_id, now=now)
        record_or_note_unrecorded(session, write, state="deleted", now=now)


def retire_superseded(vault: Vault) -> None:
    """Destroy the keys that an interrupted replacement left: all but those in use, the newest and what is newer."""
    for page in dead_rows.pages(vault, Grant.id):
        grants = {Owner.grant(row.id).digest: row.id for row in page}
        several = {owner for owner, living in dead_rows.generations(vault, grants).items() if len(living) > 1}
        if several:
            _retire(vault, [grants[owner] for owner in several])


def _retire(vault: Vault, grant_ids: Collection[UUID]) -> None:
    # With the write lock: meanwhile nobody is between a new key and the row that it seals.
    with vault.data.write() as session:
        for grant_id in session.scalars(select(Grant.id).where(Grant.id.in_(grant_ids))).all():
            owner = Owner.grant(grant_id)
            living = dead_rows.generations(vault, [owner.digest]).get(owner.digest, set())
            keep = generations_in_use(session, grant_id) or {max(living, default=0)}
            if any(one < max(keep) and one not in keep for one in living):
                vault.register.retire(owner, keep=keep)


def keys_in_use(vault: Vault) -> Iterator[dict[Owner, set[int]]]:
    """Give the consents, a page at a time, with the generations of their keys that seal something."""
    for page in dead_rows.pages(vault, Grant.id):
        ids = [row.id for row in page]
        found: dict[Owner, set[int]] = {Owner.grant(one): set() for one in ids}
        with vault.data.read() as session:
            for table in (Template, Photo):
                used = select(table.grant_id, table.key_generation).where(table.grant_id.in_(ids))
                for grant_id, generation in session.execute(used):
                    found[Owner.grant(grant_id)].add(generation)
        yield found
