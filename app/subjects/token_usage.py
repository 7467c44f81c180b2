"""Record the day on which each token was last used, so that unused tokens can end.

Requests record it in memory and the maintenance run writes it, so no request waits for a write. A row is written at
most once a day. A crash loses the uses of the last minute.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from uuid import UUID

import structlog
from sqlalchemy import and_, or_, select, update
from sqlalchemy.exc import DBAPIError

from app.db.store import Store
from app.kit.clock import Clock
from app.kit.crash_points import operation
from app.subjects.tables import Token
from app.web.callers import Authenticator, Principal

log = structlog.get_logger()
PAGE = 500
"""Tokens written in one transaction."""


class TokenUsage:
    """Last uses of tokens that are not written yet. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._unwritten: dict[UUID, date] = {}

    def recording(self, find: Authenticator) -> Authenticator:
        """Return *find* extended: it also records the use of each token that it finds."""

        def find_and_record(data: Store, token_digest: bytes) -> Principal | None:
            principal = find(data, token_digest)
            if principal is not None:
                today = self._clock().date()
                with self._lock:
                    self._unwritten[principal.token_id] = today
            return principal

        return find_and_record

    @operation("recording token use")
    def write(self, data: Store) -> int:
        """Write the recorded uses. Returns how many rows changed; a row with the same or a later day does not."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, {}
        try:
            return sum(_write(data, day, page) for day, page in _pages(unwritten))
        except BaseException:
            with self._lock:
                # Uses recorded meanwhile are newer.
                self._unwritten = unwritten | self._unwritten
            raise

    def write_last(self, data: Store) -> None:
        """Write the remaining uses when the service stops; if the store cannot be written, the service stops anyway."""
        try:
            self.write(data)
        except DBAPIError as error:
            log.warning("last uses of tokens were not written", error=type(error.orig).__name__)


def _pages(uses: Mapping[UUID, date]) -> Iterator[tuple[date, list[UUID]]]:
    for day in set(uses.values()):
        ids = [token_id for token_id, used_on in uses.items() if used_on == day]
        yield from ((day, ids[at : at + PAGE]) for at in range(0, len(ids), PAGE))


def _write(data: Store, day: date, ids: Sequence[UUID]) -> int:
    older = and_(Token.id.in_(ids), or_(Token.last_used_on.is_(None), Token.last_used_on < day))
    with data.read() as session:
        if session.scalar(select(Token.id).where(older).limit(1)) is None:
            return 0
    with data.write() as session:
        return len(session.scalars(update(Token).where(older).values(last_used_on=day).returning(Token.id)).all())
