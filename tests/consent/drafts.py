"""Notices to publish in tests."""

import re
from datetime import datetime

from app.compliance import shipped_notices
from app.consent import notices
from app.settings import Settings
from app.vault.vault import Vault


def draft(purpose: str = "verification", *, version: int, words: str = "New words.") -> bytes:
    """Return the shipped notice for *purpose* as another version, with *words* added."""
    changed, found = re.subn(r"(?m)^version = \d+$", f"version = {version}", shipped(purpose).decode())
    assert found == 1
    return f"{changed}\n{words}\n".encode()


def shipped(purpose: str) -> bytes:
    """Return the notice that ships for *purpose*, as a service with the defaults publishes it."""
    return shipped_notices.render(shipped_notices.DIRECTORY / f"{purpose}.en.md", Settings())


def publish(vault: Vault, body: bytes, *, now: datetime) -> str:
    """Put a notice in force; returns its digest."""
    with vault.data.write() as session:
        return notices.publish(session, body=body, now=now)[0].sha256
