"""The notices that ship with Mien: templates whose times come from the settings, filled in when they are published.

A service with other settings publishes other texts, known by other digests. When a setting changes later nothing is put
in force by itself: a changed text is the controller's to publish, and asks people for a new consent. The start says so,
and `mien notice publish-shipped` does it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template

import structlog
from sqlalchemy.orm import Session

from app.consent import notices
from app.consent.notices import NoticeHead
from app.rights import retention
from app.settings import Settings

DIRECTORY = Path(__file__).parents[2] / "notices"
VERSION = 2
"""The version of the shipped texts, from which those that a service publishes count up."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """One of the shipped notices, and whether it is newly in force."""

    head: NoticeHead
    new: bool


def render(file: Path, settings: Settings, *, version: int = VERSION) -> bytes:
    """Return the text of a shipped notice under these settings."""
    text = Template(file.read_text("utf-8")).substitute(retention.notice_words(settings), version=version)
    return text.encode()


def files() -> Sequence[Path]:
    """Return the shipped notices."""
    return sorted(DIRECTORY.glob("*.md"))


def publish_shipped(session: Session, settings: Settings, *, now: datetime) -> list[Published]:
    """Put the shipped notices in force as the settings have them; one that is so already stays as it is."""
    return [
        Published(*notices.publish(session, body=body, now=now))
        for body in (_next(session, file, settings) for file in files())
    ]


def _next(session: Session, file: Path, settings: Settings) -> bytes:
    """Return what is to be in force: the notice that is, if it says the same, else the next version."""
    first = render(file, settings)
    head = notices.parse(first)
    standing = [
        one for one in notices.in_force(session) if (one.purpose, one.language) == (head.purpose, head.language)
    ]
    if not standing:
        return first
    if standing[0].body == render(file, settings, version=standing[0].version):
        return standing[0].body
    return render(file, settings, version=max(VERSION, standing[0].version + 1))


def outdated(session: Session, settings: Settings) -> Iterator[NoticeHead]:
    """Give the notices in force whose time of keeping is not that of the settings.

    Only of those languages that notices ship in: of another the words are not known.
    """
    said = {notices.parse(render(file, settings)).language for file in files()}
    period = retention.notice_words(settings)["retention_period"]
    for one in notices.in_force(session):
        if one.language in said and notices.matter(one.body)["retention_period"] != period:
            yield NoticeHead(one.sha256, one.purpose, one.language, one.version)


def log_outdated(session: Session, settings: Settings) -> None:
    """Say in the service's log which notices do not say what the settings do."""
    for one in outdated(session, settings):
        log.warning(
            "a notice in force says otherwise than the settings",
            purpose=one.purpose,
            language=one.language,
            version=one.version,
            remedy="mien notice publish-shipped, or publish a notice of your own that says so",
        )
