"""Keys of a grant in use, and the end of kept photos with the last consent that they served."""

from contextlib import suppress
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.consent.tables import Grant
from app.db.types import Row
from app.faces.permit import Purpose
from app.vault.register import KeyGoneError, Owner
from app.vault.seal import KekError
from app.vault.vault import Change


def generations_in_use(session: Session, grant_id: UUID) -> set[int]:
    """Return the generations of a grant's key that seal a row, in any table whose rows hang from a grant."""
    tables = (table for table in Row.metadata.tables.values() if {"grant_id", "key_generation"} <= set(table.c.keys()))
    return {
        generation
        for table in tables
        for generation in session.scalars(select(table.c.key_generation).where(table.c.grant_id == grant_id))
    }


def delete_grant(change: Change, grant: Grant, *, after_commit: bool) -> None:
    """Delete a grant with its dependent rows, and the photos that served no other consent, with their key.

    Foreign keys delete the grant's own rows; a trigger deletes the photos. Their key belongs to the consent for
    template renewal, which stays in force: it gets a new key, and loses the one that seals no row any more.

    Args:
        change: the transaction.
        grant: the grant that ends.
        after_commit: whether another decision replaces it; old keys are then destroyed only after the commit.
    """
    session = change.session
    of_photos = (Grant.subject_id == grant.subject_id, Grant.purpose == Purpose.TEMPLATE_RENEWAL, Grant.id != grant.id)
    renewal_id = session.scalar(select(Grant.id).where(*of_photos))
    before = set() if renewal_id is None else generations_in_use(session, renewal_id)
    session.execute(delete(Grant).where(Grant.id == grant.id))
    session.expunge(grant)
    if renewal_id is not None and generations_in_use(session, renewal_id) != before:
        # A key-encryption key that does not open must not keep a consent in force; then the old key stays.
        with suppress(KekError):
            renew_key(change, renewal_id, after_commit=after_commit)


def renew_key(change: Change, grant_id: UUID, *, after_commit: bool) -> None:
    """Issue a new key of a grant, and destroy those that no longer seal a row."""
    # Without a key, the grant ended in a commit that failed. The purge of dead rows removes the rest.
    with suppress(KeyGoneError):
        owner = Owner.grant(grant_id)
        keep = {change.issue(owner), *generations_in_use(change.session, grant_id)}
        change.drop_old_keys(owner, keep=keep, after_commit=after_commit)
