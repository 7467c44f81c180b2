"""The export's page to read and print: one HTML file that needs nothing but the photos beside it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.kit.datamap import Form
from app.rights import access, holdings

TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TITLES = {
    "subjects": "Your account",
    "tokens": "Your ways in",
    "consent_events": "Every decision you made",
    "grants": "Your consents in force",
    "templates": "Your templates",
    "photos": "Your kept photos",
    "comparisons": "Every use of your face",
    "access_counts": "How often you asked",
}
"""A table without a title is shown by its own name."""


def page(asked: access.Asked) -> Iterator[str]:
    """Write the page, piece by piece."""
    sections = (
        {"title": TITLES.get(table.name, table.name), "rows": _rows(asked, table.name), "name": table.name}
        for table in holdings.tables()
    )
    return TEMPLATES.get_template("export.html").generate(head=access.head(asked), sections=sections)


def _rows(asked: access.Asked, name: str) -> Iterator[dict[str, Any]]:
    table = next(table for table in holdings.tables() if table.name == name)
    for row in holdings.rows(asked.vault, subject_id=asked.subject_id, table=table):
        yield {
            "fields": _fields(access.described(name, row)),
            "photos": [
                access.path_of(name, str(row["id"]), value.form)
                for value in row.values()
                if isinstance(value, holdings.File) and value.form is Form.JPEG
            ],
        }


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """Spread records out, so that what is inside is read beside the rest."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat.update(value if isinstance(value, dict) else {name: value})
    return {name.replace("_", " "): "none" if value is None else value for name, value in flat.items()}
