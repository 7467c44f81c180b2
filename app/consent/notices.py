"""The notices of a service: published, in force, stale and retired. The SHA-256 of its bytes identifies a notice.

Only the latest notice for a purpose and language can be in force: while it is not retired, and each fact that it
depends on is true. Every reader of the notices in force names the facts, so none can forget to compare them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from operator import attrgetter

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from app.consent.errors import NoticeChangedError, NoticeStaleError
from app.consent.facts import Facts
from app.consent.notice_template import FilledNotice, NoticeError, NoticeHeader, fill, read_scope
from app.consent.tables import Notice, RetiredNotice
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.vault.authentic_rows import ForgedRowError, is_authentic


class NoticeState(StrEnum):
    """The states of a published notice."""

    IN_FORCE = "in force"
    STALE = "stale"
    """A fact has changed: new consents wait for the next version."""
    RETIRED = "retired"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class NoticeStatus:
    """A published notice and its state."""

    notice: Notice
    state: NoticeState
    changed: Sequence[str]
    """Names of the facts that are no longer true."""

    @property
    def name(self) -> str:
        """Purpose, language and version."""
        return f"{self.notice.purpose} ({self.notice.language}, version {self.notice.version})"


def publish(session: Session, filled: FilledNotice, *, now: datetime) -> tuple[NoticeHeader, bool]:
    """Put a notice in force for its purpose and language; returns whether it was new.

    Raises:
        NoticeError: its version is not higher than the latest, or its text was published before.
    """
    header, latest = filled.header, find_latest(session, filled.header.purpose, filled.header.language)
    if latest is not None and (latest.sha256, latest.facts) == (header.sha256, filled.facts):
        return header, False
    if latest is not None and header.version <= latest.version:
        raise NoticeError(f"version {latest.version} was published already; give the next text a higher version")
    fields = asdict(header)
    session.add(Notice(**fields, published_at=now, body=filled.body, template=filled.template, facts=filled.facts))
    session.flush()
    append_open_entry(session, LoggedAct.NOTICE_PUBLISHED, **fields, at=now.isoformat())
    return header, True


def publish_template(
    session: Session, template: bytes, facts: Facts, *, now: datetime, first_version: int = 1
) -> tuple[NoticeHeader, bool]:
    """Fill a notice and put it in force. `$version` is the next version, or the latest if that notice is the same.

    Raises:
        NoticeError: as `fill` and `publish`; or the notice is retired and its text is the same.
    """
    latest = find_latest(session, *read_scope(template))
    if latest is None:
        return publish(session, fill(template, facts, version=first_version), now=now)
    same = fill(template, facts, version=latest.version)
    if (same.header.sha256, same.facts) != (latest.sha256, latest.facts) or _is_retired(session, latest):
        same = fill(template, facts, version=max(first_version, latest.version + 1))
    return publish(session, same, now=now)


def retire(session: Session, purpose: Purpose, *, language: str | None = None, now: datetime) -> Sequence[NoticeHeader]:
    """Retire the latest notices for a purpose, in one or all languages. Returns those that were not retired yet.

    Consents that were given on them stay in force until they are withdrawn or expire; they cannot be renewed.

    Raises:
        NoticeError: there is no such notice.
    """
    found = [one for one in _list_latest(session) if one.purpose is purpose and language in {None, one.language}]
    if not found:
        raise NoticeError(f"there is no notice for {purpose}{f' in {language}' if language else ''} to retire")
    retired = []
    for notice in found:
        if not _is_retired(session, notice):
            header = NoticeHeader(notice.sha256, notice.purpose, notice.language, notice.version)
            session.add(RetiredNotice(sha256=notice.sha256, retired_at=now))
            append_open_entry(session, LoggedAct.NOTICE_RETIRED, **asdict(header), at=now.isoformat())
            retired.append(header)
    session.flush()
    return retired


def _list_latest(session: Session) -> Sequence[Notice]:
    authentic = select(Notice.purpose, Notice.language, func.max(Notice.version)).where(is_authentic(Notice))
    newest = authentic.group_by(Notice.purpose, Notice.language)
    latest = tuple_(Notice.purpose, Notice.language, Notice.version).in_(newest)
    # Sorted here: the order of texts differs between databases, and pages of the list are cut in this one.
    return sorted(session.scalars(select(Notice).where(latest)), key=attrgetter("purpose", "language"))


def find_latest(session: Session, purpose: Purpose, language: str) -> Notice | None:
    """Return the latest notice for a purpose and language, in force or not."""
    return next((one for one in _list_latest(session) if (one.purpose, one.language) == (purpose, language)), None)


def _is_retired(session: Session, notice: Notice) -> bool:
    return session.get(RetiredNotice, notice.sha256) is not None


def list_statuses(session: Session, facts: Facts) -> Sequence[NoticeStatus]:
    """Return the latest notice for each purpose and language, with its state."""
    return [_status(session, notice, facts) for notice in _list_latest(session)]


def list_history(session: Session, facts: Facts) -> Sequence[NoticeStatus]:
    """Return every notice with its state, the newest of each purpose and language first."""
    latest = {status.notice.sha256: status for status in list_statuses(session, facts)}
    order = (Notice.purpose, Notice.language, Notice.version.desc())
    return [
        latest.get(notice.sha256, NoticeStatus(notice, NoticeState.SUPERSEDED, ()))
        for notice in session.scalars(select(Notice).order_by(*order))
    ]


def _status(session: Session, notice: Notice, facts: Facts) -> NoticeStatus:
    changed = facts.changes_since(notice.facts)
    if _is_retired(session, notice):
        return NoticeStatus(notice, NoticeState.RETIRED, changed)
    return NoticeStatus(notice, NoticeState.STALE if changed else NoticeState.IN_FORCE, changed)


def list_in_force(session: Session, facts: Facts) -> Sequence[Notice]:
    """Return the notice in force for each purpose and language."""
    return [one.notice for one in list_statuses(session, facts) if one.state is NoticeState.IN_FORCE]


def require_in_force(session: Session, facts: Facts, *, purpose: Purpose, sha256: str) -> None:
    """Refuse a consent on another notice than one in force for its purpose.

    Raises:
        NoticeStaleError: it is the latest notice, but stale or retired.
        NoticeChangedError: it is not a latest notice for this purpose.
    """
    if require_latest(session, facts, purpose=purpose, sha256=sha256).state is not NoticeState.IN_FORCE:
        raise NoticeStaleError


def require_latest(session: Session, facts: Facts, *, purpose: Purpose, sha256: str) -> NoticeStatus:
    """Return the latest notice with this digest; a refusal never waits for the next version.

    Raises:
        NoticeChangedError: it is not a latest notice for this purpose.
    """
    statuses = [one for one in list_statuses(session, facts) if one.notice.purpose is purpose]
    for one in statuses:
        if one.notice.sha256 == sha256:
            return one
    raise NoticeChangedError if any(one.state is NoticeState.IN_FORCE for one in statuses) else NoticeStaleError


def read_text(session: Session, sha256: str) -> bytes:
    """Return the bytes of a published notice, superseded or not.

    Raises:
        NotFoundError: no notice was published with this digest.
        ForgedRowError: another program changed or planted it.
    """
    # PostgreSQL refuses to look for some characters.
    if not sha256.isalnum():
        raise NotFoundError
    found = session.execute(select(Notice.body, is_authentic(Notice)).where(Notice.sha256 == sha256)).first()
    if found is None:
        raise NotFoundError
    body, authentic = found
    if not authentic:
        raise ForgedRowError(Notice.__tablename__)
    return bytes(body)
