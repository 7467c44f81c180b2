"""A receipt as it is handed over: the token, what hides it in the log, the promise, and the proof once there is one."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.transparency.verify.canonical_json import Bytes32, Digest
from app.transparency.verify.merkle import MAX_LEAVES as MOST_LEAVES
from app.transparency.verify.receipt import Instant

MAX_BUNDLE_BYTES = 1024 * 1024
"""Bytes of the longest bundle that is read."""
LONGEST_PATH = 64
"""Hashes: a tree of as many leaves as there can be is 63 high."""

LeafCount = Annotated[int, Field(ge=0, le=MOST_LEAVES)]
Origin = Annotated[str, Field(pattern=r"^mien/[0-9a-f-]{36}$")]
"""The name of a log: the first line of its checkpoints."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)


class Proof(_Part):
    """That a leaf is in the log: what `GET /v1/log/proof` answers."""

    leaf: Digest
    index: LeafCount
    size: LeafCount
    """How many leaves the checkpoint is about."""
    hashes: Annotated[tuple[Digest, ...], Field(max_length=LONGEST_PATH)]
    """From the leaf's sibling up (RFC 6962)."""
    checkpoint: Annotated[str, Field(max_length=4096)]
    """A C2SP signed note."""


class Bundle(_Part):
    """One receipt. An unknown member is refused: what is not checked should not be there."""

    jws: str
    """The receipt itself, signed."""
    leaf: Digest
    """SHA-256 of a zero byte, the salt, and the payload of `jws`: how the log knows it."""
    salt: Bytes32
    promise: str
    """That the leaf will be in the log, signed by the same key."""
    proof: Proof | None = None
    """That it is."""


class Promise(_Part):
    """What a promise says."""

    origin: Origin
    leaf: Digest
    log_key: Bytes32
    """The thumbprint of the key that signs the log's checkpoints."""
    by: Instant
