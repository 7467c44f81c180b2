"""A relying party's keys: issued one at a time, stored only as SHA-256.

A key replaced with an overlap works until a stated time; the clock ends it. The register records the end when the key
is replaced, so that a restored backup cannot revive the key for good.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BindParameter, ColumnElement, delete, exists, or_, select
from sqlalchemy.orm import Session

from app.db.store import Store
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.parties.tables import PartyKey, RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault import dead_rows
from app.vault.authentic_rows import is_authentic
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.callers import Principal, Role, new_token, token_digest

REPLACED = "replaced"
"""`ended_as` of a key that has a successor."""
KEY_PREFIX = "mien_rp_"
_Now = datetime | BindParameter[datetime]


def _works(now: _Now) -> ColumnElement[bool]:
    return or_(PartyKey.ends_at.is_(None), PartyKey.ends_at > now)


def authenticate(data: Store, token_digest: bytes, *, clock: Clock) -> Principal | None:
    """Return the relying party that owns this key; None for an unknown or ended key, or a revoked party."""
    matches = (PartyKey.digest == token_digest, _works(clock()), RelyingParty.revoked_on.is_(None))
    authentic = (is_authentic(PartyKey), is_authentic(RelyingParty))
    with data.read() as session:
        found = session.execute(
            select(PartyKey.relying_party_id, PartyKey.id).join(RelyingParty).where(*matches, *authentic)
        ).first()
    return None if found is None else Principal(Role.RELYING_PARTY, *found)


def is_active(key_id: UUID | BindParameter[UUID], *, now: _Now) -> ColumnElement[bool]:
    """Return the condition that this key has not ended, for decisions that commit long after authentication."""
    return exists().where(PartyKey.id == key_id, _works(now), is_authentic(PartyKey))


def add(session: Session, party_id: UUID, *, now: datetime) -> str:
    """Issue a key to a relying party. It cannot be read again."""
    key = new_token(KEY_PREFIX)
    session.add(
        PartyKey(id=uuid4(), relying_party_id=party_id, digest=token_digest(key), created_on=now.date(), ends_at=None)
    )
    session.flush()
    return key


def replace(change: Change, party_id: UUID, *, until: datetime | None, now: datetime) -> None:
    """End a party's keys at the commit that adds their successor; with *until*, the newest key works until then.

    A key already in an overlap ends at the commit, so at most two keys work at a time.
    """
    for key in _keys_of(change.session, party_id):
        if until is not None and key.ends_at is None:
            key.ends_at = until
            change.end(EndedKind.REPLACED_KEY, key.id, ended_as=REPLACED, on=until.date(), after_commit=True)
        else:
            change.end(EndedKind.RELYING_PARTY_KEY, key.id, ended_as="revoked", on=now.date(), after_commit=True)
            change.session.delete(key)


def end_all(change: Change, party_id: UUID, *, now: datetime) -> None:
    """End every key of a relying party for good."""
    for key in _keys_of(change.session, party_id):
        change.end(EndedKind.RELYING_PARTY_KEY, key.id, ended_as="revoked", on=now.date())
        change.session.delete(key)


def _keys_of(session: Session, party_id: UUID) -> Sequence[PartyKey]:
    return session.scalars(select(PartyKey).where(PartyKey.relying_party_id == party_id)).all()


@operation("ending replaced API keys")
def end_replaced(vault: Vault, *, now: datetime) -> int:
    """End for good the keys whose overlap is over; the clock has disabled them before. Returns how many."""
    ended = select(PartyKey).where(PartyKey.ends_at <= now)
    with vault.data.read() as session:
        if session.scalar(ended.limit(1)) is None:
            return 0
    with vault.change() as change:
        keys = change.session.scalars(ended).all()
        for key in keys:
            change.end(EndedKind.RELYING_PARTY_KEY, key.id, ended_as=REPLACED, on=now.date())
        _end_for_good(change.session, [key.id for key in keys], now)
    return len(keys)


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Delete the keys that ended before a restore or a crash. Returns how many.

    A key that was replaced after the backup has no end of overlap in the backup, so it ends at once.
    """
    deleted = _purge(vault, EndedKind.RELYING_PARTY_KEY, now=now)
    return deleted + _purge(vault, EndedKind.REPLACED_KEY, PartyKey.ends_at.is_(None), now=now)


def _purge(vault: Vault, kind: EndedKind, *where: ColumnElement[bool], now: datetime) -> int:
    deleted = 0
    for ended in dead_rows.ended_pages(vault, kind, PartyKey.id, where=where):
        replaced = [key_id for key_id, tombstone in ended.items() if tombstone.ended_as == REPLACED]
        with vault.data.write() as session:
            _end_for_good(session, replaced, now)
            session.execute(delete(PartyKey).where(PartyKey.id.in_(ended), *where))
        deleted += len(ended)
    return deleted


def _end_for_good(session: Session, key_ids: Collection[UUID], now: datetime) -> None:
    """Delete keys whose overlap is over, and append the entry of each."""
    for key in session.scalars(select(PartyKey).where(PartyKey.id.in_(key_ids))).all():
        party_id, at = str(key.relying_party_id), now.isoformat()
        append_open_entry(session, LoggedAct.RELYING_PARTY_KEY_ENDED, relying_party_id=party_id, at=at)
        session.delete(key)
    session.flush()
