"""The public answers of the transparency log: its checkpoint and proofs. None of them names a subject or an act."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.kit.errors import InvalidRequestError, Problem
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.transparency.log.signing_keys import log_origin, sign_head
from app.transparency.log.tiles import TileReader
from app.transparency.tables import LeafIndex, LogHead, SeenHead
from app.transparency.verify import merkle
from app.transparency.verify.bundle import Proof
from app.transparency.verify.checkpoint import Checkpoint
from app.vault.vault import ForeignRegisterError, Vault


class LeafNotFoundError(Problem):
    """The leaf is not in the tree: it is unknown, or waits for the next batch."""

    status = 404
    slug = "not-found"
    title = "Not found"
    detail = "This leaf is not in the log. A new leaf joins within the time that its receipt promises: try again then."

    @classmethod
    def until(cls, due: datetime, *, now: datetime) -> Self:
        """Return the answer that names the time of the next batch: the same for an unknown leaf and a pending one."""
        at = f"{due:%Y-%m-%dT%H:%M:%SZ}"
        error = cls(f"This leaf is not in the log. The next batch is due at {at}: try a new leaf again then.")
        error.answer_headers["Retry-After"] = str(max(1, math.ceil((due - now).total_seconds())))
        return error


_LATEST = select(LogHead.size, LogHead.root).order_by(LogHead.size.desc()).limit(1)
_INDEXES = select(LeafIndex.leaf, LeafIndex.index).where(LeafIndex.leaf.in_(bindparam("leaves", expanding=True)))


def _head(session: Session, origin: str) -> Checkpoint:
    size, root = session.connection().execute(_LATEST).first() or (0, merkle.EMPTY_ROOT)
    return Checkpoint(origin, size, root)


def latest_head(vault: Vault) -> Checkpoint:
    """Return the newest checkpoint, unsigned."""
    origin = log_origin(vault.register.origin_id())
    with vault.register.store.read() as session:
        return _head(session, origin)


def latest_checkpoint(vault: Vault) -> str:
    """Return the newest checkpoint, signed."""
    return sign_head(vault, latest_head(vault))


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A checkpoint and its signed note. All proofs of one answer share it, so that it is signed once."""

    head: Checkpoint
    note: str


def signed_head(vault: Vault) -> SignedHead:
    """Return the newest checkpoint, signed."""
    head = latest_head(vault)
    return SignedHead(head, sign_head(vault, head))


def prove_inclusion(vault: Vault, leaf: bytes) -> Proof:
    """Return the proof that a leaf is in the log, with the newest signed checkpoint.

    Raises:
        LeafNotFoundError: the leaf is not in the tree of that checkpoint.
    """
    proofs = prove_inclusions(vault, [leaf], at=signed_head(vault))
    if leaf not in proofs:
        raise LeafNotFoundError
    return proofs[leaf]


def prove_inclusions(vault: Vault, leaves: Sequence[bytes], *, at: SignedHead) -> dict[bytes, Proof]:
    """Return the proofs of some leaves, in one read of the register. A leaf that is not in the tree has none.

    Args:
        vault: the stores.
        leaves: some hundred at most.
        at: the checkpoint to prove against.
    """
    size = at.head.size
    with vault.register.store.read() as session:
        nodes = TileReader(session)
        found = session.connection().execute(_INDEXES, {"leaves": list(leaves)}).all()
        paths = {leaf: (index, merkle.inclusion_proof(nodes, index, size)) for leaf, index in found if index < size}
    return {
        leaf: Proof(
            leaf=leaf.hex(), index=index, size=size, hashes=tuple(node.hex() for node in path), checkpoint=at.note
        )
        for leaf, (index, path) in paths.items()
    }


def prove_consistency(vault: Vault, size: int) -> dict[str, Any]:
    """Return the proof that the log still begins with its first *size* leaves.

    Raises:
        InvalidRequestError: the log has fewer leaves.
    """
    origin = log_origin(vault.register.origin_id())
    with vault.register.store.read() as session:
        head = _head(session, origin)
        if size > head.size:
            raise InvalidRequestError(("/from", f"The log has {head.size} leaves: give a size up to that"))
        hashes = merkle.consistency_proof(TileReader(session), size, head.size)
    return {
        "from": size,
        "size": head.size,
        "hashes": [node.hex() for node in hashes],
        "checkpoint": sign_head(vault, head),
    }


def record_restore(vault: Vault, *, made_at: datetime, now: datetime) -> None:
    """Record in restored data that it was restored. The entry joins the log when the service starts on that data."""
    with vault.data.write() as session:
        append_open_entry(session, LoggedAct.RESTORED, backup_made_at=made_at.isoformat(), at=now.isoformat())


def check_not_rolled_back(vault: Vault) -> None:
    """Refuse an old copy of the register: its log does not continue the checkpoint that the data store has seen.

    Raises:
        ForeignRegisterError: the register is older than the data, or was changed.
    """
    seen = _seen_head(vault)
    if seen is None:
        return
    with vault.register.store.read() as session:
        size = session.connection().execute(_LATEST).scalar() or 0
        if seen.size > size or merkle.root(TileReader(session), seen.size) != seen.root:
            msg = (
                f"the log in the register has {size} leaves, and does not continue the log of {seen.size} leaves that "
                "the data store has seen: the register is an older copy, or was changed. Put the newest register back "
                "(docs/how-to/back-up-and-restore.md)"
            )
            raise ForeignRegisterError(msg)


def seen_size(vault: Vault) -> int:
    """Return the size of the newest checkpoint that the data store has seen."""
    seen = _seen_head(vault)
    return 0 if seen is None else seen.size


def _seen_head(vault: Vault) -> SeenHead | None:
    with vault.data.read() as session:
        return session.get(SeenHead, 1)
