"""Notices: TOML front matter (ISO/IEC TS 27560 fields) and a text, identified by the SHA-256 of the file."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy.orm import Session

from app.consent.tables import Notice
from app.faces.permit import Purpose
from app.kit.errors import NotFoundError, OperatorError
from app.kit.text import REASON, is_blank, readable
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.transparency.receipts.content import processing_content

FENCE = "+++\n"
MAX_FRONT_MATTER_CHARS = 40_000
"""Length as receipts repeat it; `receipts/verify` reads tokens of three times that."""
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
"""Required fields, named as in ISO/IEC TS 27560; `version` and `title` are our own."""


class NoticeError(OperatorError, ValueError):
    """The file cannot be published as a notice; the text states the reason."""


@dataclass(frozen=True, slots=True)
class NoticeHeader:
    """The identifying fields of a notice."""

    sha256: str
    purpose: Purpose
    language: str
    version: int


def front_matter(body: bytes) -> dict[str, Any]:
    """Return the front matter of a published notice."""
    return _parts(body)[1]


def _parts(body: bytes) -> tuple[str, dict[str, Any], str]:
    try:
        before, fields, text = body.decode().split(FENCE, 2)
        return before, tomllib.loads(fields), text
    except ValueError as error:
        raise NoticeError(f"a notice starts with TOML between two lines of +++, then the text ({error})") from error


def parse(body: bytes) -> NoticeHeader:
    """Read and check a notice.

    Raises:
        NoticeError: it is not UTF-8 with front matter between two `+++` lines, or a field is missing or malformed.
    """
    before, fields, text = _parts(body)
    missing = [name for name in FIELDS if name not in fields or _is_blank_text(fields[name])]
    if before or missing or is_blank(text):
        raise NoticeError(f"the notice lacks {', '.join(missing) or 'its text'}")
    if not readable(str(fields["title"])):
        raise NoticeError(f"the title cannot be shown to people as it is. {REASON}")
    purpose, language, version = fields["purpose"], fields["language"], fields["version"]
    if purpose not in list(Purpose) or type(version) is not int:
        raise NoticeError(f"purpose is one of {', '.join(Purpose)}; version is a whole number")
    if not (isinstance(language, str) and language):
        raise NoticeError("language is a tag like en or pt-BR")
    return NoticeHeader(hashlib.sha256(body).hexdigest(), Purpose(purpose), language, version)


def _is_blank_text(value: object) -> bool:
    return isinstance(value, str) and is_blank(value)


def _check_receipt(header: NoticeHeader, body: bytes) -> None:
    """Refuse a notice that receipts cannot repeat: every decision on it would fail."""
    try:
        repeated = processing_content(front_matter(body), sha256=header.sha256, relying_party=None)
    except (KeyError, ValueError) as error:
        reason = f"front matter holds only texts, tables of texts and lists of these ({type(error).__name__})"
        raise NoticeError(reason) from error
    if len(repeated.model_dump_json()) > MAX_FRONT_MATTER_CHARS:
        raise NoticeError(f"shorten the front matter to {MAX_FRONT_MATTER_CHARS} characters: every receipt repeats it")


def publish(session: Session, *, body: bytes, now: datetime) -> tuple[NoticeHeader, bool]:
    """Put a notice in force for its purpose and language; returns whether it was new.

    Raises:
        NoticeError: it cannot be read, or its version is not higher than the version in force.
    """
    header = parse(body)
    _check_receipt(header, body)
    if session.get(Notice, header.sha256) is not None:
        return header, False
    where = (Notice.purpose == header.purpose, Notice.language == header.language)
    newest = session.scalar(select(func.max(Notice.version)).where(*where))
    if newest is not None and header.version <= newest:
        raise NoticeError(f"version {newest} is in force; give the changed text a higher version")
    fields = asdict(header)
    session.add(Notice(**fields, published_at=now, body=body))
    session.flush()
    append_open_entry(session, LoggedAct.NOTICE_PUBLISHED, **fields, at=now.isoformat())
    return header, True


def list_in_force(session: Session) -> Sequence[Notice]:
    """Return the notice in force for each purpose and language."""
    newest = select(Notice.purpose, Notice.language, func.max(Notice.version)).group_by(Notice.purpose, Notice.language)
    in_force = tuple_(Notice.purpose, Notice.language, Notice.version).in_(newest)
    return session.scalars(select(Notice).where(in_force).order_by(Notice.purpose, Notice.language)).all()


def digests_in_force(session: Session, purpose: Purpose) -> set[str]:
    """Return the digests of the notices in force for a purpose, in all languages."""
    return {notice.sha256 for notice in list_in_force(session) if notice.purpose is purpose}


def read_text(session: Session, sha256: str) -> bytes:
    """Return the bytes of a published notice, superseded or not.

    Raises:
        NotFoundError: no notice was published with this digest.
    """
    notice = session.get(Notice, sha256)
    if notice is None:
        raise NotFoundError
    return notice.body
