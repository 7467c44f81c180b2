"""Notices to publish in tests."""

import re
from datetime import datetime

from app.consent import notices
from app.vault.vault import Vault


def draft(purpose: str = "verification", *, version: int, words: str = "New words.") -> bytes:
    """Return the shipped notice for *purpose*, as another version with some more words."""
    shipped = (notices.SHIPPED / f"{purpose}.en.md").read_text()
    changed, found = re.subn(r"(?m)^version = \d+$", f"version = {version}", shipped)
    assert found == 1
    return f"{changed}\n{words}\n".encode()


def publish(vault: Vault, body: bytes, *, now: datetime) -> str:
    """Put a notice in force; returns its digest."""
    with vault.data.write() as session:
        return notices.publish(session, body=body, now=now)[0].sha256
