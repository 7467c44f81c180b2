"""Fill in and publish the notices that ship with Mien; their times come from the settings.

A service with other settings publishes other texts, with other digests. A later change of a setting publishes nothing:
a changed text needs new consents, so the controller decides. The start logs the difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template

import structlog
from sqlalchemy.orm import Session

from app.consent import notices
from app.consent.notices import NoticeHeader
from app.kit.resources import shipped_directory
from app.rights import retention
from app.settings import Settings

DIRECTORY = shipped_directory("notices")
VERSION = 3
"""Version of the shipped texts; a service that publishes changed ones counts up from it."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """A shipped notice that is in force, and whether it is new."""

    head: NoticeHeader
    new: bool


def render(file: Path, settings: Settings, *, version: int = VERSION) -> bytes:
    """Return the text of a shipped notice with the times of these settings."""
    text = Template(file.read_text("utf-8")).substitute(retention.notice_words(settings), version=version)
    return text.encode()


def files() -> Sequence[Path]:
    """Return the shipped notices."""
    return sorted(DIRECTORY.glob("*.md"))


def publish_shipped(session: Session, settings: Settings, *, now: datetime) -> list[Published]:
    """Put every shipped notice in force with the times of these settings; unchanged ones stay as they are."""
    bodies = [_next_body(session, file, settings) for file in files()]
    return [Published(*notices.publish(session, body=body, now=now)) for body in bodies]


def _next_body(session: Session, file: Path, settings: Settings) -> bytes:
    """Return the notice in force if its text is the same, else the text with the next version."""
    first = render(file, settings)
    head = notices.parse(first)
    for current in notices.list_in_force(session):
        if (current.purpose, current.language) == (head.purpose, head.language):
            if current.body == render(file, settings, version=current.version):
                return current.body
            return render(file, settings, version=max(VERSION, current.version + 1))
    return first


def outdated(session: Session, settings: Settings) -> Iterator[NoticeHeader]:
    """Yield the notices in force whose `retention_period` differs from the settings.

    Notices in a language that no shipped notice has are skipped: their expected text is not known.
    """
    languages = {notices.parse(render(file, settings)).language for file in files()}
    period = retention.notice_words(settings)["retention_period"]
    for one in notices.list_in_force(session):
        if one.language in languages and notices.front_matter(one.body)["retention_period"] != period:
            yield NoticeHeader(one.sha256, one.purpose, one.language, one.version)


def log_outdated(session: Session, settings: Settings) -> None:
    """Log a warning for each notice in force that differs from the settings."""
    for one in outdated(session, settings):
        log.warning(
            "a notice in force differs from the settings",
            purpose=one.purpose,
            language=one.language,
            version=one.version,
            remedy="mien notice publish-shipped, or publish a notice of your own with the same retention_period",
        )
