"""The file format of a receipt: the signed receipt, its salt, the promise, and the proof once there is one."""

from typing import Annotated

from pydantic import Field

from app.transparency.verify.canonical_json import Bytes32, Digest, StrictModel
from app.transparency.verify.merkle import MAX_LEAVES
from app.transparency.verify.receipt import Instant

MAX_BUNDLE_BYTES = 1024 * 1024
MAX_PATH_HASHES = 64
"""The largest possible tree, of 2**63 - 1 leaves, is 63 levels high."""

LeafCount = Annotated[int, Field(ge=0, le=MAX_LEAVES)]
Origin = Annotated[str, Field(pattern=r"^mien/[0-9a-f-]{36}$")]
"""The name of a transparency log: the first line of its checkpoints."""


class Proof(StrictModel):
    """The proof that a leaf is in the transparency log, as `GET /v1/log/proof` returns it."""

    leaf: Digest
    index: LeafCount
    """The position of the leaf, counted from 0."""
    size: LeafCount
    """The number of leaves in the log at this checkpoint."""
    hashes: Annotated[tuple[Digest, ...], Field(max_length=MAX_PATH_HASHES)]
    """The audit path (RFC 6962), from the sibling of the leaf upwards."""
    checkpoint: Annotated[str, Field(max_length=4096)]
    """The signed checkpoint of the log: a C2SP signed note."""


class Bundle(StrictModel):
    """One receipt. Unknown members are refused, because no signature covers them."""

    jws: str
    """The receipt itself, signed: a compact JWS."""
    leaf: Digest
    """The entry of the receipt in the transparency log: SHA-256 of a zero byte, the salt, and the payload of `jws`."""
    salt: Bytes32
    """Random bytes that keep others from guessing the receipt behind the leaf."""
    promise: str
    """The promise that the leaf will be in the transparency log, signed by the same key: a compact JWS."""
    proof: Proof | None = None
    """The proof that the leaf is in the log. A new receipt has none yet."""


class Promise(StrictModel):
    """The payload of a promise."""

    origin: Origin
    leaf: Digest
    log_key: Bytes32
    """The thumbprint of the key that signs the log's checkpoints."""
    by: Instant
