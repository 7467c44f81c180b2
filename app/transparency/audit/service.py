"""`mien verify-log`: looks through all of the log and names the first entry that is not as it was written.

In this order, and all of it, so that of several faults the first by index is named:

1. The tree: each leaf against its tag and the index, each hash above, each root there was (`audit_tree`).
2. What there is too much of: rows of the index, and tiles (`audit_index`).
3. What the data has seen of the log: the newest checkpoint that it keeps.
4. Each record that can be read (`audit_records`).

It never writes. What comes to the log meanwhile is not looked at.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select, text

from app.kit.progress import Progress
from app.transparency.audit import index as audit_index
from app.transparency.audit import records as audit_records
from app.transparency.audit.findings import Finding, FindingKind, sort_findings
from app.transparency.audit.tree import LATEST, TreeAudit
from app.transparency.log import signing_keys, tiles
from app.transparency.tables import KeyUse, SeenHead, SigningKey
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint
from app.vault.register import KeyGoneError
from app.vault.seal import Key
from app.vault.vault import Vault

BACKWARDS = text(
    "SELECT min(later.size) FROM log_heads AS later JOIN log_heads AS earlier"
    " ON earlier.size = (SELECT max(size) FROM log_heads WHERE size < later.size) WHERE later.made_at < earlier.made_at"
)


@dataclass(frozen=True, slots=True)
class AuditCounts:
    """How much was looked at."""

    leaves: int
    nodes: int
    """Hashes above the leaves that are kept."""
    heads: int
    open_records: int
    entries: int
    receipts: int
    unreadable: int
    """Records whose person's key is gone."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit came to."""

    origin: str
    size: int
    findings: tuple[Finding, ...]
    """The first of each kind of check, by index; none if all is as it was written."""
    warnings: tuple[str, ...]
    checked: AuditCounts


def audit_log(vault: Vault, *, now: datetime, progress: Progress) -> AuditReport:
    """Look through all of the log.

    Raises:
        KekError: the key-encryption key is not the register's.
    """
    origin_id = vault.register.check_origin()
    origin = signing_keys.log_origin(origin_id)
    # The data first: what it has seen was in the register before.
    seen, found = _seen(vault, origin)
    with vault.register.store.read() as session:
        size = session.execute(LATEST).scalar_one() or 0
        backwards = session.execute(BACKWARDS).scalar_one()
    guard = _guard(vault, origin_id)
    if guard is None:
        found.append(
            Finding(FindingKind.GUARD_GONE, None, "the key of the log's tags is gone: they tell nothing any more")
        )
    tree = TreeAudit(vault, size=size, guard=guard, seen=seen, progress=progress)
    walked = tree.first()
    found += [walked] if walked else []
    found += _too_much(vault, size=size, walked=walked, progress=progress)
    found += _against_seen(seen, tree, size=size)
    looked = audit_records.audit_records(vault, now=now, progress=progress)
    return AuditReport(
        origin=origin,
        size=size,
        findings=sort_findings([*found, *looked.findings]),
        warnings=tuple(_warnings(backwards, looked.overdue)),
        checked=AuditCounts(
            leaves=tree.leaves,
            nodes=tree.nodes,
            heads=tree.heads,
            open_records=looked.open_records,
            entries=looked.entries,
            receipts=looked.receipts,
            unreadable=looked.unreadable,
        ),
    )


def _guard(vault: Vault, origin_id: UUID) -> Key | None:
    try:
        return vault.register.key(tiles.guard_owner(origin_id))
    except KeyGoneError:
        return None


def _seen(vault: Vault, origin: str) -> tuple[Checkpoint | None, list[Finding]]:
    """Return the checkpoint that the data keeps, if a key of this log signed it."""
    with vault.data.read() as session:
        row = session.get(SeenHead, 1)
    if row is None:
        return None, []
    with vault.register.store.read() as session:
        public = session.scalars(select(SigningKey.public).where(SigningKey.signs == KeyUse.CHECKPOINTS)).all()
    for one in public:
        try:
            checkpoint = open_checkpoint(row.note, Verifier(origin, Ed25519PublicKey.from_public_bytes(one)))
        except CheckpointError:
            continue
        if (checkpoint.size, checkpoint.root) == (row.size, row.root):
            return checkpoint, []
    return None, [
        Finding(
            FindingKind.SEEN_CHANGED, None, "what the data keeps as the newest checkpoint is none that this log signed"
        )
    ]


def _too_much(vault: Vault, *, size: int, walked: Finding | None, progress: Progress) -> list[Finding]:
    progress("rows of the index")
    rows = audit_index.count_index_rows(vault, size=size)
    found = []
    # Where the walk stopped before the end, a stray row could still be about an earlier entry.
    if walked is not None or rows.ours != size or rows.beyond:
        progress("rows of the index, one by one")
        found.append(audit_index.find_stray_index_row(vault))
    found.append(audit_index.find_surplus_tiles(vault))
    return [one for one in found if one is not None and (walked is None or one.index != walked.index)]


def _against_seen(seen: Checkpoint | None, tree: TreeAudit, *, size: int) -> list[Finding]:
    if seen is not None and seen.size > size:
        what = f"the log has {size} entries, and the data has seen {seen.size}: the register is an older copy"
        return [Finding(FindingKind.ROLLED_BACK, size, what)]
    if seen is not None and tree.as_seen is False:
        what = f"the first {seen.size} entries are not those that the data has seen in this log"
        return [Finding(FindingKind.REWRITTEN, None, what)]
    return []


def _warnings(backwards: int | None, overdue: int) -> list[str]:
    told = []
    if backwards is not None:
        told.append(
            f"the head of {backwards} entries was made before the head of fewer: the clock was set back, or somebody "
            "changed the time. What a stolen key signed is judged by these times"
        )
    if overdue:
        told.append(
            f"{overdue} receipts were promised to be in the log by now, and still wait: start the service, or look "
            "into its log for batches that failed"
        )
    return told
