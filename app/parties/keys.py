"""A relying party's keys: known by their SHA-256, given one at a time, and ended.

A key that is replaced with an overlap goes on working until a stated time, by the clock and without anybody's doing.
The register is told that it ended when it is replaced, so that a backup of before does not bring it back for good.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BindParameter, ColumnElement, bindparam, delete, exists, or_, select
from sqlalchemy.orm import Session

from app.db.sqlite.prepared import Prepared
from app.db.sqlite.store import Store
from app.db.types import UtcDateTime
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.parties.tables import PartyKey, RelyingParty
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault import dead_rows
from app.vault.tables import EndedKind
from app.vault.vault import Change, Vault
from app.web.auth import Principal, Role, new_token, token_digest

REPLACED = "replaced"
"""How a key ends that has a successor."""
KEY_PREFIX = "mien_rp_"
_Now = datetime | BindParameter[datetime]


def _works(now: _Now) -> ColumnElement[bool]:
    return or_(PartyKey.ends_at.is_(None), PartyKey.ends_at > now)


_BY_KEY = Prepared(
    select(PartyKey.relying_party_id, PartyKey.id)
    .join(RelyingParty, RelyingParty.id == PartyKey.relying_party_id)
    .where(
        PartyKey.digest == bindparam("digest"),
        _works(bindparam("now", type_=UtcDateTime())),
        RelyingParty.revoked_on.is_(None),
    )
)


def authenticate(data: Store, token_digest: bytes, *, clock: Clock) -> Principal | None:
    """Find the relying party whose key this is."""
    with data.reading() as reading:
        found = reading.first(_BY_KEY, digest=token_digest, now=clock())
    return None if found is None else Principal(Role.RELYING_PARTY, *found)


def is_active(key_id: UUID | BindParameter[UUID], *, now: _Now) -> ColumnElement[bool]:
    """Select nothing once this key has ended; for a decision that was long in the making."""
    return exists().where(PartyKey.id == key_id, _works(now))


def add(session: Session, party_id: UUID, *, now: datetime) -> str:
    """Give a party a key, which cannot be read again."""
    key = new_token(KEY_PREFIX)
    session.add(
        PartyKey(id=uuid4(), relying_party_id=party_id, digest=token_digest(key), created_on=now.date(), ends_at=None)
    )
    session.flush()
    return key


def replace(change: Change, party_id: UUID, *, until: datetime | None, now: datetime) -> None:
    """End a party's keys with the commit that gives it another; with *until*, the newest goes on until then.

    A key that was going on already ends with the commit all the same: two work at once, never more.
    """
    for key in _keys_of(change.session, party_id):
        if until is not None and key.ends_at is None:
            key.ends_at = until
            change.replaced(EndedKind.REPLACED_KEY, key.id, ended_as=REPLACED, on=until.date())
        else:
            change.replaced(EndedKind.RELYING_PARTY_KEY, key.id, ended_as="revoked", on=now.date())
            change.session.delete(key)


def end_all(change: Change, party_id: UUID, *, now: datetime) -> None:
    """End every key of a party for good."""
    for key in _keys_of(change.session, party_id):
        change.end(EndedKind.RELYING_PARTY_KEY, key.id, ended_as="revoked", on=now.date())
        change.session.delete(key)


def _keys_of(session: Session, party_id: UUID) -> Sequence[PartyKey]:
    return session.scalars(select(PartyKey).where(PartyKey.relying_party_id == party_id)).all()


@operation("ending replaced keys")
def end_replaced(vault: Vault, *, now: datetime) -> int:
    """End for good the keys whose overlap is over; they have opened nothing since. Returns how many."""
    over = select(PartyKey).where(PartyKey.ends_at <= now)
    with vault.data.read() as session:
        if session.scalar(over.limit(1)) is None:
            return 0
    with vault.change() as change:
        keys = change.session.scalars(over).all()
        for key in keys:
            change.end(EndedKind.RELYING_PARTY_KEY, key.id, ended_as=REPLACED, on=now.date())
        _end_for_good(change.session, [key.id for key in keys], now)
    return len(keys)


def purge_dead(vault: Vault, *, now: datetime) -> int:
    """Take away the keys that ended before a backup was restored, or a crash came. Returns how many.

    A key that was replaced since then has no time in the backup until which it goes on: it ends at once.
    """
    removed = _purge(vault, EndedKind.RELYING_PARTY_KEY, now=now)
    return removed + _purge(vault, EndedKind.REPLACED_KEY, PartyKey.ends_at.is_(None), now=now)


def _purge(vault: Vault, kind: EndedKind, *which: ColumnElement[bool], now: datetime) -> int:
    removed = 0
    for page in dead_rows.pages(vault, PartyKey.id, where=which):
        ended = dead_rows.tombstones(vault, kind, (row.id for row in page))
        if ended:
            with vault.data.write() as session:
                _end_for_good(session, [one for one, stone in ended.items() if stone.ended_as == REPLACED], now)
                session.execute(delete(PartyKey).where(PartyKey.id.in_(ended), *which))
            removed += len(ended)
    return removed


def _end_for_good(session: Session, key_ids: Collection[UUID], now: datetime) -> None:
    """Delete keys whose overlap is over, each with its entry."""
    for key in session.scalars(select(PartyKey).where(PartyKey.id.in_(key_ids))).all():
        party_id, at = str(key.relying_party_id), now.isoformat()
        append_open_entry(session, LoggedAct.RELYING_PARTY_KEY_ENDED, relying_party_id=party_id, at=at)
        session.delete(key)
    session.flush()
