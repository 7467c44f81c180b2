"""Notices: a file with TOML front matter (ISO/IEC TS 27560 fields) and the text, identified by its SHA-256."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.consent.tables import Notice
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.transparency.receipts import content as drafting

FENCE = "+++\n"
LONGEST_SAID = 40_000
"""Characters of a notice's front matter as receipts repeat it: a token of three times that is still read."""
FIELDS = (
    "schema_version",
    "purpose",
    "version",
    "language",
    "title",
    "pii_controllers",
    "lawful_basis",
    "pii_information",
    "processing_method",
    "storage_locations",
    "retention_period",
    "recipient_third_parties",
    "withdrawal_method",
    "privacy_rights",
    "authority_party",
    "jurisdictions",
)
"""What a notice must say, by the names of ISO/IEC TS 27560; `version` and `title` are ours."""


class NoticeError(ValueError):
    """The file is no notice that can be published; the text says why."""


@dataclass(frozen=True, slots=True)
class NoticeHead:
    """What a notice says of itself."""

    sha256: str
    purpose: Purpose
    language: str
    version: int


def matter(body: bytes) -> dict[str, Any]:
    """Return the front matter of a notice that was published."""
    return _parts(body)[1]


def _parts(body: bytes) -> tuple[str, dict[str, Any], str]:
    try:
        before, fields, text = body.decode().split(FENCE, 2)
        return before, tomllib.loads(fields), text
    except ValueError as error:
        msg = f"a notice starts with TOML between two lines of +++, then the text ({error})"
        raise NoticeError(msg) from error


def parse(body: bytes) -> NoticeHead:
    """Read a notice's front matter.

    Raises:
        NoticeError: it is not UTF-8 with front matter between two `+++` lines, or lacks a field.
    """
    before, fields, text = _parts(body)
    missing = [name for name in FIELDS if name not in fields]
    if before or missing or not text.strip():
        msg = f"the notice lacks {', '.join(missing) or 'its text'}"
        raise NoticeError(msg)
    if fields["purpose"] not in list(Purpose) or type(fields["version"]) is not int:
        msg = f"purpose is one of {', '.join(Purpose)}; version is a whole number"
        raise NoticeError(msg)
    if not (isinstance(fields["language"], str) and fields["language"]):
        msg = "language is a tag like en or pt-BR"
        raise NoticeError(msg)
    digest = hashlib.sha256(body).hexdigest()
    return NoticeHead(digest, Purpose(fields["purpose"]), str(fields["language"]), fields["version"])


def _check_receipt(head: NoticeHead, body: bytes) -> None:
    """Refuse a notice that no receipt could repeat: nobody could decide on it."""
    try:
        said = drafting.processing_content(matter(body), sha256=head.sha256, relying_party=None)
    except (KeyError, ValueError) as error:
        msg = (
            f"a receipt cannot repeat the front matter ({type(error).__name__}): texts, tables of texts, lists of these"
        )
        raise NoticeError(msg) from error
    if len(said.model_dump_json()) > LONGEST_SAID:
        msg = f"the front matter has more than {LONGEST_SAID} characters, and every receipt repeats it: say less in it"
        raise NoticeError(msg)


def publish(session: Session, *, body: bytes, now: datetime) -> tuple[NoticeHead, bool]:
    """Put a notice in force for its purpose and language; says whether it was new. Repeating it is harmless.

    Raises:
        NoticeError: it cannot be read, or its version is not higher than that in force.
    """
    head = parse(body)
    _check_receipt(head, body)
    if session.get(Notice, head.sha256) is not None:
        return head, False
    where = (Notice.purpose == head.purpose, Notice.language == head.language)
    newest = session.scalar(select(func.max(Notice.version)).where(*where))
    if newest is not None and head.version <= newest:
        msg = f"version {newest} is in force; a changed text needs a higher version than that"
        raise NoticeError(msg)
    session.add(
        Notice(
            sha256=head.sha256,
            purpose=head.purpose,
            language=head.language,
            version=head.version,
            published_at=now,
            body=body,
        )
    )
    session.flush()
    append_open_entry(
        session,
        LoggedAct.NOTICE_PUBLISHED,
        sha256=head.sha256,
        purpose=head.purpose,
        language=head.language,
        version=head.version,
        at=now.isoformat(),
    )
    return head, True


def in_force(session: Session) -> Sequence[Notice]:
    """Return the notice in force for each purpose and language."""
    newest = select(Notice.purpose, Notice.language, func.max(Notice.version).label("version"))
    newest_of = newest.group_by(Notice.purpose, Notice.language).subquery()
    query = select(Notice).join(
        newest_of,
        (Notice.purpose == newest_of.c.purpose)
        & (Notice.language == newest_of.c.language)
        & (Notice.version == newest_of.c.version),
    )
    return session.scalars(query.order_by(Notice.purpose, Notice.language)).all()


def digests(session: Session, purpose: Purpose) -> set[str]:
    """Return the notices in force for a purpose, in whatever language."""
    return {notice.sha256 for notice in in_force(session) if notice.purpose is purpose}


def text_of(session: Session, sha256: str) -> bytes:
    """Return a notice's bytes as they were read, superseded or not.

    Raises:
        NotFoundError: none was published with this digest.
    """
    notice = session.get(Notice, sha256)
    if notice is None:
        raise NotFoundError
    return notice.body
