"""The audit of what the register has too much of: rows of the index, and tiles, that no entry of the log accounts for.

The walk over the tree (`audit_tree`) finds what is missing. Here the rows are only counted, a page at a time, and
looked at one by one where the count is wrong.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, text

from app.transparency.audit.findings import Finding, FindingKind
from app.transparency.audit.tree import LATEST, uncounted_entries
from app.transparency.log.tiles import HASH_BYTES, HEIGHT, WIDTH
from app.vault.vault import Vault

PAGE = 50_000
"""Rows of the index in one short transaction."""

TILES = text("SELECT level, count(*), sum(length(hashes)) FROM log_tiles WHERE level <> 0 GROUP BY level")
TILES_OF_LEAVES = text("SELECT count(*) FROM log_tiles WHERE level = 0")
COUNTS = text(
    'WITH page AS (SELECT leaf, "index" AS at FROM log_leaves WHERE leaf > :after ORDER BY leaf LIMIT :page)'
    " SELECT max(leaf) AS last, count(*) AS rows, coalesce(sum(at < :size), 0) AS ours,"
    " coalesce(sum(at >= (SELECT max(size) FROM log_heads)), 0) AS beyond FROM page"
)
# A row of the index whose leaf is another, or none, in the tree.
STRAYS = text(
    'WITH page AS (SELECT leaf, "index" AS at FROM log_leaves WHERE leaf > :after ORDER BY leaf LIMIT :page),'
    " tree AS (SELECT leaf, at, (SELECT substr(hashes, 1 + :hash * (at % :width), :hash) FROM log_tiles"
    "  WHERE level = 0 AND position = at / :width) AS there FROM page)"
    " SELECT max(leaf) AS last, count(*) AS rows, min(CASE WHEN leaf IS NOT there THEN at END) AS first FROM tree"
)


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """How many rows the index has for the entries that are looked at, and how many for entries that are not there."""

    ours: int
    beyond: int


def count_index_rows(vault: Vault, *, size: int) -> IndexCounts:
    """Count the rows of the index."""
    ours = beyond = 0
    for page in _pages(vault, COUNTS, size=size):
        ours, beyond = ours + page.ours, beyond + page.beyond
    return IndexCounts(ours, beyond)


def find_stray_index_row(vault: Vault) -> Finding | None:
    """Return the first entry for which the index has a row that belongs to another, or to none."""
    firsts = [page.first for page in _pages(vault, STRAYS, hash=HASH_BYTES, width=WIDTH) if page.first is not None]
    if not firsts:
        return None
    at = min(firsts, key=lambda one: one if isinstance(one, int) else 0)
    index = at if isinstance(at, int) and at >= 0 else None
    return Finding(FindingKind.INDEX_WRONG, index, f"by the index a leaf is at {at} that is not there in the tree")


def find_surplus_tiles(vault: Vault) -> Finding | None:
    """Return a finding if there are tiles, or hashes in them, beyond the end of the log."""
    with vault.register.store.read() as session:
        size = session.execute(LATEST).scalar_one() or 0
        above = {row[0]: (row[1], row[2]) for row in session.execute(TILES)}
        tiles = session.execute(TILES_OF_LEAVES).scalar_one()
    if tiles > -(-size // WIDTH):
        return uncounted_entries(size)
    for level, (count, length) in above.items():
        hashes = size >> HEIGHT * level if level > 0 else 0
        if count > -(-hashes // WIDTH) or length > hashes * HASH_BYTES:
            return Finding(
                FindingKind.NODE_WRONG, size, f"at level {level} there are hashes over entries that the log lacks"
            )
    return None


def _pages(vault: Vault, query: Any, **values: int) -> Iterator[Row[Any]]:  # noqa: ANN401 - SQLAlchemy's text
    # Below whatever a column can hold, in the order of SQLite.
    after: object = -math.inf
    while True:
        with vault.register.store.read() as session:
            page = session.execute(query, {"after": after, "page": PAGE, **values}).one()
        yield page
        if page.rows < PAGE:
            return
        after = page.last
