"""The day on which each token was last used, so that one that nobody uses can end.

A request notes it in memory, and the sweep writes it down: no request waits for that, and a row is written at most once
a day. What a crash takes with it is the last minute's.
"""

import threading
from collections.abc import Mapping, Sequence
from datetime import date
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.exc import DBAPIError

from app.db.sqlite.store import Store
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.subjects.tables import Token
from app.web.auth import Authenticator, Principal

log = structlog.get_logger()
PAGE = 500
"""Tokens that are written in one transaction."""


class TokenUsage:
    """What was used since it was last written down."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._noting = threading.Lock()
        self._noted: dict[UUID, date] = {}

    def watching(self, find: Authenticator) -> Authenticator:
        """Return what finds whose token it is, as *find* does, and notes that it was used."""

        def watched(data: Store, token_digest: bytes) -> Principal | None:
            principal = find(data, token_digest)
            if principal is not None:
                today = self._clock().date()
                with self._noting:
                    self._noted[principal.token_id] = today
            return principal

        return watched

    @operation("noting what was used")
    def write(self, data: Store) -> int:
        """Write down what was noted. Returns how many rows were changed: none of what is known already."""
        with self._noting:
            noted, self._noted = self._noted, {}
        try:
            return sum(_write(data, day, ids) for day, ids in _pages(noted))
        except BaseException:
            with self._noting:
                # What was noted since is newer.
                self._noted = noted | self._noted
            raise

    def write_last(self, data: Store) -> None:
        """Write down what is left when the service stops; a store that cannot be written does not keep it from that."""
        try:
            self.write(data)
        except DBAPIError as error:
            log.warning("which tokens were used is not noted", error=type(error.orig).__name__)


def _pages(noted: Mapping[UUID, date]) -> Sequence[tuple[date, list[UUID]]]:
    by_day: dict[date, list[UUID]] = {}
    for token_id, day in noted.items():
        by_day.setdefault(day, []).append(token_id)
    return [(day, ids[at : at + PAGE]) for day, ids in by_day.items() for at in range(0, len(ids), PAGE)]


def _write(data: Store, day: date, ids: Sequence[UUID]) -> int:
    older = and_(Token.id.in_(ids), _older(day))
    with data.read() as session:
        if session.scalar(select(Token.id).where(older).limit(1)) is None:
            return 0
    with data.write() as session:
        return len(session.scalars(update(Token).where(older).values(last_used_on=day).returning(Token.id)).all())


def _older(day: date) -> ColumnElement[bool]:
    return or_(Token.last_used_on.is_(None), Token.last_used_on < day)
