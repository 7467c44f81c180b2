"""End access tokens that are not used, so that a lost device does not keep its access for ever.

Recovery codes never end this way, nor does the token that the subject used last: time alone shuts no subject out.
"""

from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

from sqlalchemy import ColumnElement, and_, delete, exists, select, tuple_, update
from sqlalchemy.orm import Session, aliased

from app.kit.crash_points import operation
from app.subjects import service
from app.subjects.tables import Token, TokenKind
from app.transparency.log import entries
from app.transparency.log.entries import LoggedAct, append_open_entry, record_or_note_unrecorded
from app.vault.tables import EndedKind
from app.vault.vault import Vault
from app.web.callers import UnauthenticatedError

UNUSED = "unused"
"""`ended_as` of an unused token."""
PAGE = 200
"""Tokens ended in one transaction."""


@operation("ending unused tokens")
def end_unused(vault: Vault, *, after_days: int, now: datetime) -> int:
    """End the access tokens not used for *after_days*, except the last used of each subject. Returns how many."""
    _date_undated(vault, now.date())
    ended = 0
    unused = _unused(now.date() - timedelta(days=after_days))
    while page := _page(vault, unused):
        with vault.change() as change:
            # A token may have been used after the page was read.
            rows = change.session.scalars(select(Token).where(unused, Token.id.in_(page))).all()
            for token in rows:
                change.session.execute(delete(Token).where(Token.id == token.id))
                change.end(EndedKind.TOKEN, token.id, ended_as=UNUSED, on=now.date())
            record_ended(change.session, vault, rows, now=now)
        ended += len(rows)
    return ended


def record_ended(session: Session, vault: Vault, ended: Collection[Token], *, now: datetime) -> None:
    """Append an entry for each token to its subject's entries, and an open entry with their number.

    If a subject's key does not open, the token ends without its entry.
    """

    def write(token: Token) -> None:
        key, record = service.key(vault, token.subject_id), {"token_id": str(token.id), "at": now.isoformat()}
        act = LoggedAct.TOKEN_UNUSED
        entries.append(session, key, subject_id=token.subject_id, entry_id=uuid4(), act=act, **record)

    for token in ended:
        with suppress(UnauthenticatedError):
            record_or_note_unrecorded(session, partial(write, token), state="token_unused", now=now)
    if ended:
        append_open_entry(session, LoggedAct.RETENTION_RUN, tokens_ended=len(ended), on=now.date().isoformat())


def _page(vault: Vault, unused: ColumnElement[bool]) -> Sequence[UUID]:
    with vault.data.read() as session:
        return session.scalars(select(Token.id).where(unused).limit(PAGE)).all()


def _unused(since: date) -> ColumnElement[bool]:
    """Return the condition for access tokens last used before *since* whose subject used another one later."""
    other = aliased(Token)
    later = tuple_(other.last_used_on, other.created_on, other.id) > tuple_(
        Token.last_used_on, Token.created_on, Token.id
    )
    theirs = and_(other.subject_id == Token.subject_id, other.kind == TokenKind.ACCESS)
    staying = Token.subject_id.not_in(service.erasing_subject_ids())
    return and_(Token.last_used_on < since, Token.kind == TokenKind.ACCESS, exists().where(theirs, later), staying)


def _date_undated(vault: Vault, today: date) -> None:
    """Set today as the last use of tokens from a version that did not record it."""
    undated = and_(Token.last_used_on.is_(None), Token.kind == TokenKind.ACCESS)
    while page := _page(vault, undated):
        with vault.data.write() as session:
            session.execute(update(Token).where(Token.id.in_(page), undated).values(last_used_on=today))
