"""The export's page to read and print: one HTML file that needs nothing but the photos beside it.

Derived as the document is: what is not named here is shown too, under its own name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Table

from app.db.data_map import Form
from app.rights import access, personal_data, receipts
from app.transparency.verify.bundle import Bundle

TITLES = {
    "photos": ("Photos that are kept", "Kept, sealed, because you agreed that Mien may keep them."),
    "templates": (
        "Templates",
        "A template is a list of numbers measured from your photos. A photo of you is compared with it.",
    ),
    "grants": ("Consents in force", "What you allow now. What you were told stands in the notice that you read."),
    "comparisons": (
        "Uses of your face",
        "Each time that somebody compared a photo with your template; the first one first.",
    ),
    "disputes": (
        "What you say was not you",
        "Your face is not used for that relying party until you lift this. Who runs this service can read your note.",
    ),
    "attempts": (
        "Failed comparisons that still count",
        "Of the last 24 hours. With too many of them a relying party has to wait before it compares you again.",
    ),
    "consent_events": ("Decisions you made", "Each consent that you gave, refused or ended; the first one first."),
    "receipts": (
        "Receipts",
        "Signed, and good without your account and without us: keep the files in receipts/.",
    ),
    "entries": (
        "Entries of the log",
        "What was done, as the log has it; with its salt, an entry can be shown to be there.",
    ),
    "subjects": ("Your account", ""),
    "tokens": (
        "Ways in",
        "Your access tokens and your recovery code. They themselves are not stored, only their digests.",
    ),
    "access_counts": ("Days on which you asked", "Counted, never limited: ask as often as you like."),
    "deliveries": (
        "What relying parties were told",
        "That your consent was given or has ended, and whether they acknowledged it; the first one first.",
    ),
    "outbox": ("What they are still to be told", "It is tried again until they acknowledge it, for some days."),
    "erasures": ("Erasures", ""),
}
"""The sections in their order, what is most about you first; a table not here comes last, under its own name."""
LABELS = {
    "at": "When",
    "event_time": "When",
    "in_sweep": "One of many that a relying party tried?",
    "state": "What you said",
    "relying_party_id": "Relying party",
    "valid_until": "Until",
    "liveness": "Was somebody live there?",
    "target_fmr": "Strangers taken for you",
    "engine_id": "Measured by",
    "not_renewable_by": "Engine that could not renew it",
    "name": "What you call yourself",
    "erasing": "Being erased",
    "on_day": "Day",
    "content": "File",
    "act": "What",
    "event": "What it was told",
    "outcome": "Did it acknowledge that?",
    "attempts": "Tries",
    "slug": "Why not",
    "kind": "What it is",
    "last_used_on": "Last used",
    "history_cuts": "Times that you shortened your history",
}
WORDS: dict[Any, str] = {
    **{purpose: f"{purpose.capitalize()}: {words}".replace("_", " ") for purpose, words in access.PURPOSES.items()},
    True: "yes",
    False: "no",
    None: "none",
    "match": "match: taken for you",
    "no_match": "no match: not taken for you",
    "not_checked": "not checked",
    "given": "yes (given)",
    "refused": "no (refused)",
    "withdrawn": "no more (withdrawn)",
    "expired": "nothing: it expired",
    "access": "an access token",
    "recovery": "the recovery code",
    "template_renewed": "a new template was made from your kept photos, for another engine",
    "template_not_renewed": "your kept photos would not do for the new engine: enrol again",
    "template_ended": "a template ended, since another engine took the place of its own",
    "history_shortened": "you deleted uses of your face from your list",
    "token_unused": "an access token that nobody used ended",
    "ended": "no more (ended)",
    "pending": "not yet: it is tried again",
    "acknowledged": "yes (acknowledged)",
    "failed": "no: it did not answer for days",
    "overtaken": "no: a later event took the place of this one",
}
FILES = {
    Form.JPEG: "the photo",
    Form.VECTOR: "the numbers",
    Form.RECEIPT: "the receipt",
}
"""What a file is called where it is linked to."""
RECORD = re.compile(r"(.*_)?(id|sha256)|position|key_generation|subject_ref|salt")
"""What is of use to a program or a dispute, and set small."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(slots=True)
class Entry:
    """One row as it is read: facts first, then what is only for the record."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    record: list[tuple[str, str]] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)
    files: list[personal_data.File] = field(default_factory=list)


def page(asked: access.Asked, head: Mapping[str, Any]) -> Iterator[bytes]:
    """Write the page that begins with *head*, piece by piece."""
    order = list(TITLES)
    found = sorted(
        personal_data.tables(), key=lambda table: order.index(table.name) if table.name in TITLES else len(order)
    )
    sections = [_section(asked, head, table) for table in found]
    for piece in TEMPLATES.get_template("export.html").generate(head=head, sections=sections):
        yield piece.encode()


def _section(asked: access.Asked, head: Mapping[str, Any], table: Table) -> dict[str, Any]:
    title, about = TITLES.get(table.name, (spoken(table.name), ""))
    return {
        "name": table.name,
        "title": title,
        "about": about,
        "count": personal_data.count(asked.vault, subject_id=asked.subject_id, table=table),
        "entries": _entries(asked, head, table),
    }


def _entries(asked: access.Asked, head: Mapping[str, Any], table: Table) -> Iterator[Entry]:
    names = {party["relying_party_id"]: party["name"] for party in head["recipients"]}
    own_words = {
        personal_data.opened_name(column) for column in table.columns if personal_data.form_of(column) is Form.TEXT
    }
    for row in personal_data.rows(asked.vault, subject_id=asked.subject_id, table=table, prove=asked.prove):
        entry = Entry()
        for name, value in _spread(row):
            if isinstance(value, personal_data.File):
                entry.files.append(value)
                entry.facts += _facts_of(value)
            elif name in own_words and value is not None:
                entry.facts.append((spoken(name), str(value)))
            elif name == "relying_party_id" and value in names:
                entry.facts.append((spoken(name), names[str(value)]))
                entry.record.append(("relying party id", str(value)))
            elif name == "notice_sha256":
                entry.record.append(("notice that you read", f"/v1/notices/{value}"))
            elif RECORD.fullmatch(name) and name not in LABELS:
                if value not in {None, head["subject_id"]}:
                    entry.record.append((name.replace("_", " "), said(value)))
            else:
                entry.facts.append((spoken(name), said(value)))
        yield entry


def _facts_of(file: personal_data.File) -> list[tuple[str, str]]:
    """Say of a receipt what it is about: its file is for programs."""
    if file.form is not Form.RECEIPT:
        return []
    receipt = receipts.said(Bundle.model_validate_json(file.content))
    return [("What", spoken(receipt.kind)), ("When", said(receipt.event.event_time))]


def _spread(row: Mapping[str, personal_data.Value]) -> Iterator[tuple[str, Any]]:
    """Give the fields of a row, those of a sealed record, and of one inside it, beside the others."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _spread(value)
        else:
            yield name, value


def spoken(name: str) -> str:
    """Return a field's name in words."""
    return LABELS.get(name, name.replace("_", " ").capitalize())


def said(value: object) -> str:
    """Return a value in words."""
    match value:
        case None | bool():
            return WORDS[value]
        case float() if 0 < value < 1:
            return f"about 1 in {round(1 / value):,}"
        case str() if _INSTANT.fullmatch(value):
            at = datetime.fromisoformat(value)
            return f"{day(value)}, {at:%H:%M} UTC"
        case str() if _DAY.fullmatch(value):
            return day(value)
        case str():
            return WORDS.get(value, value)
    return str(value)


def day(value: str) -> str:
    """Return a day in words: `23 November 2026`."""
    at = datetime.fromisoformat(value)
    return f"{at.day} {at:%B %Y}"


def size(value: int) -> str:
    """Return a file's size in words."""
    return f"{max(1, round(value / 1000)):,} kB"


FILTERS: dict[str, Callable[..., str]] = {"said": said, "day": day, "size": size}
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update(FILTERS)
TEMPLATES.globals["FILES"] = FILES
