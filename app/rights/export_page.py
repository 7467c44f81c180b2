"""The export's page to read and print: one HTML file that needs only the photos beside it.

Tables and columns come from the data map; `export_labels.toml` has their words.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from sqlalchemy import Table

from app.db.data_map import SealedFormat
from app.rights import access, personal_data
from app.rights.access_schema import AccessHead
from app.rights.explanations import PURPOSES
from app.transparency.receipts import issue
from app.transparency.verify.bundle import Bundle

_LABELS = tomllib.loads(Path(__file__).with_name("export_labels.toml").read_text("utf-8"))
TITLES: dict[str, list[str]] = _LABELS["titles"]
NAMES: dict[str, str] = _LABELS["labels"]
WORDS: dict[str, str] = _LABELS["words"] | {
    str(purpose): f"{purpose.capitalize()}: {words}".replace("_", " ") for purpose, words in PURPOSES.items()
}
REFERENCE_FIELDS = re.compile(r"(.*_)?(id|sha256)|position|key_generation|subject_ref|salt")
"""Fields for programs and disputes, printed small."""

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT.*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(slots=True)
class PageEntry:
    """One row on the page: facts first, then fields for reference."""

    facts: list[tuple[str, str]] = field(default_factory=list)
    record: list[tuple[str, str]] = field(default_factory=list)
    files: list[personal_data.ExportFile] = field(default_factory=list)


def page(request: access.AccessRequest, head: AccessHead) -> Iterator[bytes]:
    """Yield the page piece by piece."""
    order = list(TITLES)
    tables = sorted(
        personal_data.tables(), key=lambda table: order.index(table.name) if table.name in TITLES else len(order)
    )
    plain = head.model_dump(mode="json")
    sections = [_section(request, plain, table) for table in tables]
    for piece in TEMPLATES.get_template("export.html").generate(head=plain, sections=sections):
        yield piece.encode()


def _section(request: access.AccessRequest, head: Mapping[str, Any], table: Table) -> dict[str, Any]:
    title, about = TITLES.get(table.name, (label(table.name), ""))
    return {
        "name": table.name,
        "title": title,
        "about": about,
        "count": personal_data.count_rows(request.vault, subject_id=request.subject_id, table=table),
        "entries": _entries(request, head, table),
    }


def _entries(request: access.AccessRequest, head: Mapping[str, Any], table: Table) -> Iterator[PageEntry]:
    party_names = {party["relying_party_id"]: party["name"] for party in head["recipients"]}
    free_texts = {
        personal_data.opened_name(column)
        for column in table.columns
        if personal_data.sealed_form(column) is SealedFormat.TEXT
    }
    rows = personal_data.read_rows(
        request.vault, subject_id=request.subject_id, table=table, add_proof=request.add_proof
    )
    for row in rows:
        entry = PageEntry()
        for name, value in _flatten(row):
            if isinstance(value, personal_data.ExportFile):
                entry.files.append(value)
                entry.facts += _receipt_facts(value)
            elif name in free_texts and value is not None:
                entry.facts.append((label(name), str(value)))
            elif name == "relying_party_id" and value in party_names:
                entry.facts.append((label(name), party_names[str(value)]))
                entry.record.append(("relying party id", str(value)))
            elif name == "notice_sha256":
                entry.record.append(("notice that you read", f"/v1/notices/{value}"))
            elif REFERENCE_FIELDS.fullmatch(name) and name not in NAMES:
                if value not in {None, head["subject_id"]}:
                    entry.record.append((name.replace("_", " "), in_words(value)))
            else:
                entry.facts.append((label(name), in_words(value)))
        yield entry


def _receipt_facts(file: personal_data.ExportFile) -> list[tuple[str, str]]:
    """Return the act and time of a receipt, whose file is for programs; nothing for other files."""
    if file.form is not SealedFormat.RECEIPT:
        return []
    receipt = issue.parse_bundle(Bundle.model_validate_json(file.content))
    return [("Act", label(receipt.kind)), ("When", in_words(receipt.event.event_time))]


def _flatten(row: Mapping[str, personal_data.Value]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a row, and those of sealed records in it at any depth."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from _flatten(value)
        else:
            yield name, value


def label(name: str) -> str:
    """Return the words for a field's name."""
    return NAMES.get(name, name.replace("_", " ").capitalize())


def in_words(value: object) -> str:
    """Return the words for a value."""
    match value:
        case None | bool():
            return WORDS[str(value).lower()]
        case float() if 0 < value < 1:
            return f"about 1 in {round(1 / value):,}"
        case str() if _INSTANT.fullmatch(value):
            return f"{day(value)}, {datetime.fromisoformat(value):%H:%M} UTC"
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
    """Return a file's size in kB."""
    return f"{max(1, round(value / 1000)):,} kB"


TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters.update({"in_words": in_words, "day": day, "size": size})
TEMPLATES.globals["FILES"] = _LABELS["files"]
