"""Notices to publish in tests."""

import re
from datetime import datetime
from typing import Any

from app.compliance import notice_facts, shipped_notices
from app.consent import notice_template, notices
from app.consent.facts import Facts
from app.faces.cards.card import Card
from app.settings import Settings
from app.vault.vault import Vault
from tests.support.toy_engine import toy_card

NEXT_VERSION = shipped_notices.VERSION + 1
VERSION_LINE = f"version = {NEXT_VERSION}".encode()


def draft(purpose: str = "verification", *, version: int = NEXT_VERSION, words: str = "New words.") -> bytes:
    """Return the shipped notice for *purpose*, with its placeholders, as another version with *words* added."""
    template = (shipped_notices.DIRECTORY / f"{purpose}.en.md").read_text()
    changed, found = re.subn(r"(?m)^version = \$version$", f"version = {version}", template)
    assert found == 1
    return f"{changed}\n{words}\n".encode()


def shipped(purpose: str) -> bytes:
    """Return the notice that ships for *purpose*, as a service with the defaults and the toy engine publishes it."""
    return shipped_notices.render(shipped_notices.DIRECTORY / f"{purpose}.en.md", facts_of())


def filled(template: bytes, facts: Facts | None = None) -> bytes:
    """Return a notice as people read it."""
    return notice_template.fill(template, facts or facts_of(), version=1).body


def facts_of(card: Card | None = None, **settings: Any) -> Facts:
    """Return the facts of a service with these settings, by default with the toy engine."""
    return notice_facts.collect(Settings(**settings), card or toy_card())


def publish(vault: Vault, template: bytes, *, now: datetime, facts: Facts | None = None) -> str:
    """Fill a notice, by default with the facts of the defaults and the toy engine, and put it in force."""
    with vault.data.write() as session:
        return notices.publish_template(session, template, facts or facts_of(), now=now)[0].sha256
