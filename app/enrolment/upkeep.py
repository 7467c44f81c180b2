"""What a crash or a restored backup leaves to be done."""

from collections.abc import Collection

from sqlalchemy import delete, select

from app.consent.tables import Grant
from app.enrolment.store import generations_in_use
from app.enrolment.tables import Photo, Template
from app.vault import purge
from app.vault.register import Owner
from app.vault.vault import Vault


def purge_dead(vault: Vault) -> int:
    """Remove templates and photos whose key is gone: ended, or replaced by a newer one. Returns how many."""
    removed = 0
    for table in (Template, Photo):
        for page in purge.pages(vault, table.id, table.grant_id, table.key_generation):
            living = purge.generations(vault, {Owner.grant(row.grant_id) for row in page})
            dead = [row.id for row in page if row.key_generation not in living[Owner.grant(row.grant_id)]]
            if dead:
                with vault.data.write() as session:
                    session.execute(delete(table).where(table.id.in_(dead)))
                removed += len(dead)
    return removed


def retire_superseded(vault: Vault) -> None:
    """Destroy the keys that an interrupted replacement left: all but those in use, the newest and what is newer."""
    for page in purge.pages(vault, Grant.id):
        living = purge.generations(vault, (Owner.grant(row.id) for row in page))
        several = {owner for owner, generations in living.items() if len(generations) > 1}
        if several:
            _retire(vault, several)


def _retire(vault: Vault, owners: Collection[Owner]) -> None:
    # With the write lock: meanwhile nobody is between a new key and the row that it seals.
    with vault.data.write() as session:
        standing = set(session.scalars(select(Grant.id).where(Grant.id.in_([owner.id for owner in owners]))))
        for owner, generations in purge.generations(vault, owners).items():
            keep = generations_in_use(session, owner.id) or {max(generations, default=0)}
            if owner.id in standing and any(one < max(keep) and one not in keep for one in generations):
                vault.register.retire(owner, keep=keep)
