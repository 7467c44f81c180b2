"""What anybody may ask of the log: its checkpoint, and proofs. Nothing in it says whose a leaf is, or what of."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from app.kit.errors import InvalidRequestError, Problem
from app.transparency.log.entries import LoggedAct, append_open_entry
from app.transparency.log.signing_keys import load_signer, log_origin
from app.transparency.log.tiles import TileReader
from app.transparency.tables import KeyUse, LeafIndex, LogHead, SeenHead
from app.transparency.verify import merkle
from app.transparency.verify.bundle import Proof
from app.transparency.verify.checkpoint import Checkpoint, sign_checkpoint
from app.vault.vault import ForeignRegisterError, Vault


class LeafNotFoundError(Problem):
    """The leaf is not in the log: it never was an entry, or waits for its batch."""

    status = 404
    slug = "not-found"
    title = "Not found"
    detail = "This leaf is not in the log. A new one joins it with a batch: try again when its receipt promised it."


@dataclass(frozen=True, slots=True)
class TreeHead:
    """A size of the log, and the root of the tree then."""

    size: int
    root: bytes


_LATEST = select(LogHead.size, LogHead.root).order_by(LogHead.size.desc()).limit(1)
_INDEX = select(LeafIndex.index).where(LeafIndex.leaf == bindparam("leaf"))


def _head(session: Session) -> TreeHead:
    found = session.connection().execute(_LATEST).first()
    return TreeHead(0, merkle.EMPTY_ROOT) if found is None else TreeHead(*found)


def _note(vault: Vault, origin_id: UUID, head: TreeHead) -> str:
    origin = log_origin(origin_id)
    private = load_signer(vault, KeyUse.CHECKPOINTS).private
    return sign_checkpoint(Checkpoint(origin, head.size, head.root), name=origin, private_key=private)


def latest_checkpoint(vault: Vault) -> str:
    """Return the newest checkpoint, signed."""
    with vault.register.store.read() as session:
        head = _head(session)
    return _note(vault, vault.register.origin_id(), head)


def latest_head(vault: Vault) -> TreeHead:
    """Return how the log is now."""
    with vault.register.store.read() as session:
        return _head(session)


def prove_inclusion(vault: Vault, leaf: bytes, *, at: TreeHead | None = None) -> Proof:
    """Return the proof that a leaf is in the log, and the checkpoint that it leads to.

    Args:
        vault: the stores.
        leaf: which.
        at: how the log was when; the log of now if not given. For the same leaf it is always the same proof.

    Raises:
        LeafNotFoundError: it is not.
    """
    with vault.register.store.read() as session:
        then, found = at or _head(session), session.connection().execute(_INDEX, {"leaf": leaf}).first()
        if found is None or found[0] >= then.size:
            raise LeafNotFoundError
        hashes = merkle.inclusion_proof(TileReader(session), found[0], then.size)
    return Proof(
        leaf=leaf.hex(),
        index=found[0],
        size=then.size,
        hashes=tuple(one.hex() for one in hashes),
        checkpoint=_note(vault, vault.register.origin_id(), then),
    )


def prove_consistency(vault: Vault, size: int) -> dict[str, Any]:
    """Return the proof that the log of now begins with all that it had when it had *size* leaves.

    Raises:
        InvalidRequestError: it never had so many.
    """
    with vault.register.store.read() as session:
        head = _head(session)
        if size > head.size:
            raise InvalidRequestError(("/from", f"The log has {head.size} leaves: name a size that it has had"))
        hashes = merkle.consistency_proof(TileReader(session), size, head.size)
    return {
        "from": size,
        "size": head.size,
        "hashes": [one.hex() for one in hashes],
        "checkpoint": _note(vault, vault.register.origin_id(), head),
    }


def record_restore(vault: Vault, *, made_at: datetime, now: datetime) -> None:
    """Write into restored data that it was, as an entry: it joins the log when the service is started on that data."""
    with vault.data.write() as session:
        append_open_entry(session, LoggedAct.RESTORED, backup_made_at=made_at.isoformat(), at=now.isoformat())


def check_not_rolled_back(vault: Vault) -> None:
    """Refuse a register whose log does not go on from what the data has seen of it: somebody put an old copy there.

    Raises:
        ForeignRegisterError: it does not.
    """
    with vault.data.read() as session:
        seen = session.get(SeenHead, 1)
    if seen is None:
        return
    with vault.register.store.read() as session:
        size = _head(session).size
        if seen.size > size or merkle.root(TileReader(session), seen.size) != seen.root:
            msg = (
                f"the log in the register, of {size} leaves, is not the one that the data has seen with {seen.size}: "
                "the register is an older copy, or was changed. Put the newest register back "
                "(docs/how-to/back-up-and-restore.md)"
            )
            raise ForeignRegisterError(msg)
