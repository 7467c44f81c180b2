"""Publish the notices that ship with Mien, filled with the facts in force.

In `prototype` the start publishes the next version of a shipped notice that is stale, so that people are asked again.
In `live` a changed text is for the controller to publish; the start names each stale notice in the application log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from app.compliance.notice_facts import DEMONSTRATION_PARTY
from app.consent import notices
from app.consent.facts import Facts
from app.consent.notice_template import NoticeError, NoticeHeader, controllers, fill, front_matter, read_scope
from app.consent.notices import NoticeState, NoticeStatus
from app.consent.tables import Notice
from app.faces.permit import Purpose
from app.kit.resources import shipped_directory
from app.vault.vault import Vault

DIRECTORY = shipped_directory("notices")
VERSION = 4
"""Version of the shipped texts; a service that publishes changed ones counts up from it."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Published:
    """A shipped notice that is in force, and whether it is new."""

    head: NoticeHeader
    new: bool


def render(file: Path, facts: Facts, *, version: int = VERSION) -> bytes:
    """Return the text of a shipped notice with these facts."""
    return fill(file.read_bytes(), facts, version=version).body


def files() -> Sequence[Path]:
    """Return the shipped notices."""
    return sorted(DIRECTORY.glob("*.md"))


def find(purpose: Purpose, language: str) -> bytes | None:
    """Return the shipped notice for a purpose and language, with its placeholders."""
    found = (file.read_bytes() for file in files())
    return next((template for template in found if read_scope(template) == (purpose, language)), None)


def publish_shipped(session: Session, facts: Facts, *, now: datetime, replace: bool = False) -> list[Published]:
    """Put every shipped notice in force with these facts; unchanged ones stay as they are.

    Args:
        session: one transaction: either all are published, or none.
        facts: the facts in force.
        now: the time.
        replace: whether to replace notices of the controller's own text.

    Raises:
        NoticeError: a notice of the controller's own text would be replaced, or a setting is missing.
    """
    templates = [file.read_bytes() for file in files()]
    current = [notices.find_latest(session, *read_scope(template)) for template in templates]
    own = [f"{one.purpose} ({one.language})" for one in current if one is not None and not _is_shipped(one)]
    if own and not replace:
        raise NoticeError(
            f"your own notices are in force: {', '.join(own)}. Fill your own text again with mien notice draft and "
            "mien notice publish, or replace it by the shipped text with --replace"
        )
    return [
        Published(*notices.publish_template(session, template, facts, now=now, first_version=VERSION))
        for template in templates
    ]


def _is_shipped(notice: Notice) -> bool:
    """Return whether the notice is a shipped text of this version, or names the demonstration as its controller."""
    return notice.template in {file.read_bytes() for file in files()} or DEMONSTRATION_PARTY in controllers(
        front_matter(notice.body)
    )


def publish_stale(session: Session, facts: Facts, *, now: datetime) -> None:
    """In `prototype`, publish the next version of each stale shipped notice, and those that were never published.

    A retired notice stays retired, and the text of another controller is theirs to publish.
    """
    if facts.live:
        return
    latest = {(one.notice.purpose, one.notice.language): one for one in notices.list_statuses(session, facts)}
    for file in files():
        template = file.read_bytes()
        status = latest.get(read_scope(template))
        if status is None or (status.state is NoticeState.STALE and _is_shipped(status.notice)):
            header, _ = notices.publish_template(session, template, facts, now=now, first_version=VERSION)
            changed = [] if status is None else list(status.changed)
            log.info(
                "a shipped notice was published; people are asked anew",
                purpose=header.purpose,
                language=header.language,
                version=header.version,
                changed=changed,
            )


def list_stale(session: Session, facts: Facts) -> list[NoticeStatus]:
    """Return the stale notices."""
    return [one for one in notices.list_statuses(session, facts) if one.state is NoticeState.STALE]


def stale_in_words(vault: Vault, facts: Facts) -> list[str]:
    """Return a sentence about each stale notice, with the next step."""
    with vault.data.read() as session:
        return [
            f"the notice {stale.name} is stale, and new consents wait; changed: {', '.join(stale.changed)}; "
            f"{next_step(stale.notice.purpose)}"
            for stale in list_stale(session, facts)
        ]


def next_step(purpose: Purpose) -> str:
    """Return the commands that put a true notice in force."""
    return f"mien notice draft {purpose} > FILE, then mien notice publish FILE; or mien notice retire {purpose}"


def log_stale(session: Session, facts: Facts) -> None:
    """Log a warning for each stale notice."""
    for one in list_stale(session, facts):
        log.warning(
            "a notice is stale; new consents wait",
            purpose=one.notice.purpose,
            language=one.notice.language,
            version=one.notice.version,
            changed=list(one.changed),
            remedy=next_step(one.notice.purpose),
        )
