"""Draw docs/explanation/rooms.svg from the import contract in pyproject.toml.

`python -m tests.architecture.draw_rooms` writes the file. A test compares it with the contract.
"""

import tomllib
from html import escape
from pathlib import Path

from tests.architecture.source import ROOT

PICTURE = ROOT / "docs" / "explanation" / "rooms.svg"
WIDTH, BOX_HEIGHT, GAP, MARGIN, LABELS = 900, 28, 8, 16, 150

CONTENT = {
    "__main__": "python -m app",
    "cli": "the command mien, one file per command group",
    "main": "composition root",
    "demo": "the demonstration, an outside client",
    "api_texts": "OpenAPI texts",
    "lifespan": "jobs, start and end",
    "startup": "the ordered list of start steps",
    "backup": "create, restore",
    "health": "livez, readyz",
    "jobs": "scheduled work beside requests",
    "compliance": "live requirements, the controller's documents",
    "rights": "access, export, erasure, retention",
    "verification": "1:1: probe to decision",
    "comparisons": "history, disputes, limits on failures",
    "enrolment": "photos to one template per grant",
    "templates": "sealed templates, kept photos, renewal",
    "consent": "notices, grants, consent events, permits",
    "callbacks": "outbox and deliveries to relying parties",
    "parties": "relying parties and their keys",
    "subjects": "accounts, tokens, restriction",
    "transparency": "receipts, transparency log, witness",
    "evaluation": "error rates on a folder of images",
    "web": "HTTP without domain words",
    "vault": "keys, seals, register",
    "faces": "engines, cards, sandboxed workers",
    "db": "stores, migrations, data map",
    "settings": "every setting, typed",
    "kit": "clock, text, JSON, crash points",
}
"""A few words on each room."""

GROUPS = {
    "__main__": "entry points",
    "backup": "whole service",
    "compliance": "duties and rights",
    "verification": "domain",
    "web": "foundations",
}
"""The heading beside a layer, by its first room."""

STYLE = """
text { font-family: "DejaVu Sans", Arial, sans-serif; font-size: 12px; fill: #16283a; }
.room { font-weight: bold; font-size: 14px; }
.group { fill: #24405c; font-style: italic; }
rect { fill: #eef3f8; stroke: #24405c; stroke-width: 1.2; }
path { stroke: #24405c; stroke-width: 2; fill: none; }
@media (prefers-color-scheme: dark) {
text { fill: #dbe6f0; }
.group { fill: #9db8d2; }
rect { fill: #1d2a38; stroke: #9db8d2; }
path { stroke: #9db8d2; }
}
"""


def layers() -> list[list[str]]:
    """Return the rooms of each layer that exists, from the top down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (contract,) = (c for c in project["tool"]["importlinter"]["contracts"] if c["id"] == "rooms")
    split = [[room.strip() for room in layer.split("|")] for layer in contract["layers"]]
    return [rooms for rooms in split if not rooms[0].startswith("(")]


def draw(rows: list[list[str]]) -> str:
    """Return the picture as SVG: one row of boxes per layer, upper layers import lower ones."""
    height = 2 * MARGIN + len(rows) * (BOX_HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        "<title>The rooms of app/ by layer: a room imports only from layers below its own</title>",
        f"<style>{STYLE}</style>",
        f'<path d="M{MARGIN} {MARGIN} V{height - MARGIN} m-5 -9 l5 9 l5 -9"/>',
    ]
    for number, rooms in enumerate(rows):
        top = MARGIN + number * (BOX_HEIGHT + GAP)
        if group := GROUPS.get(rooms[0]):
            parts.append(f'<text class="group" x="{MARGIN + 14}" y="{top + 19}">{escape(group)}</text>')
        parts += _boxes(rooms, top)
    return "\n".join([*parts, "</svg>", ""])


def _boxes(rooms: list[str], top: int) -> list[str]:
    width = (WIDTH - MARGIN - LABELS - GAP * (len(rooms) - 1)) // len(rooms)
    parts = []
    for place, room in enumerate(rooms):
        left = LABELS + place * (width + GAP)
        parts += [
            f'<rect x="{left}" y="{top}" width="{width}" height="{BOX_HEIGHT}" rx="5"/>',
            f'<text class="room" x="{left + 10}" y="{top + 19}">{escape(room)}</text>',
            f'<text x="{left + 126}" y="{top + 19}">{escape(CONTENT.get(room, ""))}</text>',
        ]
    return parts


def write(picture: Path = PICTURE) -> None:
    """Write the picture of the present contract."""
    picture.write_text(draw(layers()), "utf-8")


if __name__ == "__main__":
    write()
