"""`mien verify-log`: check the whole transparency log and name the first entry that was changed.

All of these are checked, so that of several faults the first by index is named:

1. The tree: each leaf against its tag and the index, each hash above, each root (`tree`).
2. Surplus rows of the index, and surplus tiles. Rows are counted, and compared one by one if the count is wrong.
3. The newest checkpoint that the data store has seen.
4. Each readable record (`records`).

The audit never writes. Entries that join the log meanwhile are not checked.
"""

from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import func, select

from app.db.damaged_values import raw
from app.kit.progress import Progress
from app.transparency.audit.findings import AuditCounts, Finding, FindingKind, read_in_pages, sort_findings
from app.transparency.audit.records import audit_records
from app.transparency.audit.tree import LATEST, TreeAudit, entries_without_head
from app.transparency.log.signing_keys import log_origin
from app.transparency.log.tiles import HASH_BYTES, HEIGHT, WIDTH, guard_owner
from app.transparency.tables import KeyUse, LeafIndex, LogHead, SeenHead, SigningKey, Tile
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint
from app.vault.register import KeyGoneError
from app.vault.vault import Vault

_HEADS = select(
    LogHead.size, LogHead.made_at, func.lag(LogHead.made_at).over(order_by=LogHead.size).label("made_before")
).subquery()
BACKWARDS = select(func.min(_HEADS.c.size)).where(_HEADS.c.made_at < _HEADS.c.made_before)

INDEX_PAGE = 10_000
"""Rows of the index in one short transaction."""

TILES = select(Tile.level, func.count(), func.sum(func.length(Tile.hashes))).group_by(Tile.level)
_LEAF, _AT = raw(LeafIndex.leaf).label("leaf"), raw(LeafIndex.index).label("at")
INDEX = select(_LEAF, _AT, select(func.coalesce(func.max(LogHead.size), 0)).scalar_subquery().label("size"))
_THERE = select(func.substr(Tile.hashes, 1 + HASH_BYTES * (LeafIndex.index % WIDTH), HASH_BYTES)).where(
    Tile.level == 0, Tile.position == LeafIndex.index // WIDTH
)
PLACES = select(_LEAF, _AT, _THERE.scalar_subquery().label("there"))
"""With the leaf that the tree has in the place that the index names."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The result of an audit."""

    origin: str
    size: int
    findings: tuple[Finding, ...]
    """The first finding of each check, by index; empty if the log is whole."""
    warnings: tuple[str, ...]
    checked: AuditCounts


def audit_log(vault: Vault, *, now: datetime, progress: Progress) -> AuditReport:
    """Check the whole log.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    origin_id, counts = vault.register.check_origin(), AuditCounts()
    origin = log_origin(origin_id)
    # The data store first: the register had its checkpoint before.
    seen, found = _read_seen(vault, origin)
    with vault.register.store.read() as session:
        size = session.execute(LATEST).scalar_one() or 0
        backwards = session.execute(BACKWARDS).scalar_one()
    try:
        guard = vault.register.key(guard_owner(origin_id))
    except KeyGoneError:
        guard = None
        found.append(Finding(FindingKind.GUARD_GONE, None, "the key of the log's tags is gone: no tag can be checked"))
    tree = TreeAudit(vault, size=size, guard=guard, seen=seen, counts=counts, progress=progress)
    first_in_tree = tree.find_first()
    found += [first_in_tree] if first_in_tree else []
    found += _find_surplus(vault, first_in_tree, size=size, progress=progress)
    found += _compare_with_seen(seen, tree, size=size)
    records, overdue = audit_records(vault, counts, now=now, progress=progress)
    findings = tuple(sort_findings(found + records))
    return AuditReport(origin, size, findings, tuple(_warnings(backwards, overdue)), counts)


def _read_seen(vault: Vault, origin: str) -> tuple[Checkpoint | None, list[Finding]]:
    """Return the checkpoint that the data store has seen, if a key of this log signed it."""
    with vault.data.read() as session:
        row = session.get(SeenHead, 1)
    if row is None:
        return None, []
    with vault.register.store.read() as session:
        public_keys = session.scalars(select(SigningKey.public).where(SigningKey.signs == KeyUse.CHECKPOINTS)).all()
    for public in public_keys:
        try:
            checkpoint = open_checkpoint(row.note, Verifier(origin, Ed25519PublicKey.from_public_bytes(public)))
        except CheckpointError:
            continue
        if (checkpoint.size, checkpoint.root) == (row.size, row.root):
            return checkpoint, []
    what = "this log did not sign the newest checkpoint in the data store"
    return None, [Finding(FindingKind.SEEN_CHANGED, None, what)]


def _find_surplus(vault: Vault, in_tree: Finding | None, *, size: int, progress: Progress) -> list[Finding]:
    """Return findings about surplus rows, except one about the same entry as the finding *in_tree*."""
    progress("rows of the index")
    found = []
    # If the walk ended early, a stray row may still be about an earlier entry.
    if in_tree is not None or not _is_index_complete(vault, size=size):
        progress("rows of the index, one by one")
        found.append(_find_stray_index_row(vault))
    found.append(_find_surplus_tiles(vault))
    return [one for one in found if one is not None and (in_tree is None or one.index != in_tree.index)]


def _is_index_complete(vault: Vault, *, size: int) -> bool:
    """Return whether the index has one row for each of the first *size* entries, and none beyond the log."""
    own = 0
    for row in read_in_pages(vault.register.store, INDEX, key=LeafIndex.leaf, page=INDEX_PAGE):
        if not isinstance(row.at, int) or row.at >= row.size:
            return False
        own += row.at < size
    return own == size


def _find_stray_index_row(vault: Vault) -> Finding | None:
    """Return the first entry with an index row that belongs to another entry, or to none."""
    rows = read_in_pages(vault.register.store, PLACES, key=LeafIndex.leaf, page=INDEX_PAGE)
    places = [row.at for row in rows if row.leaf != row.there]
    if not places:
        return None
    at = min(places, key=lambda place: place if isinstance(place, int) else 0)
    index = at if isinstance(at, int) and at >= 0 else None
    return Finding(FindingKind.INDEX_WRONG, index, f"the index names a leaf at {at} that the tree does not have there")


def _find_surplus_tiles(vault: Vault) -> Finding | None:
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


def _compare_with_seen(seen: Checkpoint | None, tree: TreeAudit, *, size: int) -> list[Finding]:
    if seen is not None and seen.size > size:
        what = f"the log has {size} entries, and the data store has seen {seen.size}: the register is an older copy"
        return [Finding(FindingKind.ROLLED_BACK, size, what)]
    if seen is not None and tree.agrees_with_seen is False:
        what = f"the first {seen.size} entries are not those that the data store has seen"
        return [Finding(FindingKind.REWRITTEN, None, what)]
    return []


def _warnings(backwards: int | None, overdue: int) -> list[str]:
    warnings = []
    if backwards is not None:
        warnings.append(
            f"the head of {backwards} entries is older than the head before it: the clock was set back, or the times "
            "were changed. They decide which signatures of a stolen key are valid"
        )
    if overdue:
        warnings.append(
            f"{overdue} receipts are still pending after the time that they promise: start the service, or search its "
            "application log for failed batches"
        )
    return warnings
