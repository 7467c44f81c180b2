"""Audit of surplus rows in the register: index rows and tiles without an entry of the log.

The walk over the tree (`tree`) finds missing ones. Here the rows of the index are only counted. If the count is wrong,
each row is compared with the tree.
"""

from sqlalchemy import text

from app.transparency.audit.findings import Finding, FindingKind, read_in_pages
from app.transparency.audit.tree import LATEST, entries_without_head
from app.transparency.log.tiles import HASH_BYTES, HEIGHT, WIDTH
from app.vault.vault import Vault

PAGE = 10_000
"""Rows of the index in one short transaction."""

TILES = text("SELECT level, count(*), sum(length(hashes)) FROM log_tiles GROUP BY level")
INDEX = text(
    'SELECT leaf, "index" AS at, (SELECT coalesce(max(size), 0) FROM log_heads) AS size FROM log_leaves'
    " WHERE leaf > :after ORDER BY leaf LIMIT :page"
)
# With the leaf that the tree has in the place that the index names.
PLACES = text(
    'SELECT leaf, "index" AS at, (SELECT substr(hashes, 1 + :hash * ("index" % :width), :hash) FROM log_tiles'
    ' WHERE level = 0 AND position = "index" / :width) AS there FROM log_leaves'
    " WHERE leaf > :after ORDER BY leaf LIMIT :page"
).bindparams(hash=HASH_BYTES, width=WIDTH)


def is_index_complete(vault: Vault, *, size: int) -> bool:
    """Return whether the index has one row for each of the first *size* entries, and none beyond the log."""
    own = 0
    for row in read_in_pages(vault.register.store, INDEX, page=PAGE):
        if not isinstance(row.at, int) or row.at >= row.size:
            return False
        own += row.at < size
    return own == size


def find_stray_index_row(vault: Vault) -> Finding | None:
    """Return the first entry with an index row that belongs to another entry, or to none."""
    rows = read_in_pages(vault.register.store, PLACES, page=PAGE)
    places = [row.at for row in rows if row.leaf != row.there]
    if not places:
        return None
    at = min(places, key=lambda place: place if isinstance(place, int) else 0)
    index = at if isinstance(at, int) and at >= 0 else None
    return Finding(FindingKind.INDEX_WRONG, index, f"the index names a leaf at {at} that the tree does not have there")


def find_surplus_tiles(vault: Vault) -> Finding | None:
    """Return a finding if there are tiles, or hashes above the leaves, beyond the end of the log."""
    with vault.register.store.read() as session:
        size = session.execute(LATEST).scalar_one() or 0
        levels = session.execute(TILES).all()
    for level, tiles, length in levels:
        hashes = size >> HEIGHT * level if level >= 0 else 0
        # The walk over the tree checks the hashes in tiles of leaves.
        if tiles > -(-hashes // WIDTH) or (level != 0 and length > hashes * HASH_BYTES):
            if level == 0:
                return entries_without_head(size)
            what = f"level {level} has hashes over entries that the log does not have"
            return Finding(FindingKind.NODE_WRONG, size, what)
    return None
