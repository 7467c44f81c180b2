"""A checkpoint of our log, signed by its key and by others."""

import base64
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.transparency.verify import checkpoint as module
from app.transparency.verify.checkpoint import Checkpoint, Verifier, sign_checkpoint
from app.transparency.verify.merkle import leaf_hash

ORIGIN = "mien/3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
OURS = Verifier(ORIGIN, KEY.public_key())
CHECKPOINT = Checkpoint(ORIGIN, 4096, leaf_hash(b"root"))
ROOT = base64.b64encode(CHECKPOINT.root).decode()
NOTE = sign_checkpoint(CHECKPOINT, name=ORIGIN, private_key=KEY)


def signed(text: str) -> str:
    """Sign any text with our key."""
    return module._sign_note(text, name=ORIGIN, private_key=KEY)


def cosigned(names: Iterable[str], key: Ed25519PrivateKey = OTHER_KEY) -> str:
    """Return the signature lines of others for our checkpoint."""
    return "".join(
        module._sign_note(CHECKPOINT.text, name=name, private_key=key).rpartition("\n\n")[2] for name in names
    )
