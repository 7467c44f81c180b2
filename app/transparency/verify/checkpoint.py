"""Checkpoints of a transparency log (C2SP tlog-checkpoint) as signed notes (C2SP signed-note). No I/O.

Rules:

* The signature covers the whole text, and is verified before the text is parsed as a checkpoint.
* A note has one spelling. Another spelling of base64, of a number or of a line end is refused.
* Others may sign the same note (cosignatures). Their lines must have the right form; their content is ignored.
* Each line with the name and id of the expected key must verify; a single one that fails refuses the note.
* `open_checkpoint` accepts any text, and raises `CheckpointError` only.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from app.transparency.verify.merkle import HASH_BYTES, MAX_LEAVES

ED25519 = b"\x01"
"""The signature type of Ed25519 (C2SP signed-note)."""
ID_BYTES = 4
MAX_NOTE_BYTES = 128 * 1024
"""Room for sixteen post-quantum signatures of 5 kB each."""
MAX_SIGNATURES = 64
MIN_LINES = 3
"""Origin, size, root. Further lines are allowed and signed; Mien ignores them."""

SIGNATURE = re.compile(r"\N{EM DASH} ([^ ]+) ([^ ]+)")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
"""The ASCII control characters other than the line feed: no note has one."""


class CheckpointError(Exception):
    """The note is not a checkpoint of that log, or the key is unusable. The text says why and quotes no input."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The size and root of a transparency log at one moment."""

    origin: str
    """The name of the log."""
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse values that no log can have.

        Raises:
            CheckpointError: the name, the size or the root is impossible.
        """
        if not self.origin or "\n" in self.origin or CONTROL.search(self.origin) or not _is_text(self.origin):
            raise CheckpointError("the name of a log is one line")
        if not 0 <= self.size <= MAX_LEAVES:
            raise CheckpointError("the size is out of range")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"a root has {HASH_BYTES} bytes")

    @property
    def text(self) -> str:
        """The signed text: three lines, each ended by a line feed."""
        return f"{self.origin}\n{self.size}\n{_encoded(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """The public key that must have signed a note, and its name."""

    name: str
    public_key: Ed25519PublicKey

    def __post_init__(self) -> None:
        """Refuse a name that a signature line cannot hold.

        Raises:
            CheckpointError: the name has a space, a plus sign or a control character.
        """
        if not _is_name(self.name) or not _is_text(self.name):
            raise CheckpointError("the name of a key has no spaces and no +")

    @classmethod
    def from_vkey(cls, vkey: str) -> "Verifier":
        """Parse the one-line form of a key, as `vkey` returns it.

        Raises:
            CheckpointError: the line has another form, or the id of another key.
        """
        name, _, rest = vkey.partition("+")
        raw = _decoded(rest.partition("+")[2])
        if not raw or raw[:1] != ED25519 or len(raw) != 1 + HASH_BYTES:
            raise CheckpointError("this is not an Ed25519 key in the form name+id+base64")
        verifier = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        if verifier.vkey != vkey:
            raise CheckpointError("the id does not belong to this key: copy the whole line again")
        return verifier

    @property
    def key_id(self) -> bytes:
        """Four bytes that distinguish keys with the same name. They prove nothing."""
        named = self.name.encode() + b"\n" + ED25519 + self.public_key.public_bytes_raw()
        return hashlib.sha256(named).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key in one line, for people to pass on (C2SP signed-note)."""
        return f"{self.name}+{self.key_id.hex()}+{_encoded(ED25519 + self.public_key.public_bytes_raw())}"


def sign_checkpoint(checkpoint: Checkpoint, *, name: str, private_key: Ed25519PrivateKey) -> str:
    """Return the signed note of *checkpoint*. A log's own key has the *name* of the log."""
    return _sign_note(checkpoint.text, name=name, private_key=private_key)


def open_checkpoint(note: str, verifier: Verifier, *, origin: str | None = None) -> Checkpoint:
    """Verify the signature of *note*, any text, and return its checkpoint.

    Args:
        note: the text to verify.
        verifier: the key that must have signed.
        origin: the name of the log, if it differs from the name of the key.

    Raises:
        CheckpointError: the note is not a checkpoint of this log, signed by this key.
    """
    checkpoint = _parse_checkpoint(_verify_note(note, verifier))
    if checkpoint.origin != (verifier.name if origin is None else origin):
        raise CheckpointError("it is a checkpoint of another log")
    return checkpoint


def _sign_note(text: str, *, name: str, private_key: Ed25519PrivateKey) -> str:
    key_id = Verifier(name, private_key.public_key()).key_id
    return f"{text}\n\N{EM DASH} {name} {_encoded(key_id + private_key.sign(text.encode()))}\n"


def _verify_note(note: str, verifier: Verifier) -> str:
    """Verify the signatures of *verifier* on a note, and return its text."""
    text, lines = _split_note(note)
    ours = [
        signature[ID_BYTES:]
        for name, signature in map(_parse_signature, lines)
        if (name, signature[:ID_BYTES]) == (verifier.name, verifier.key_id)
    ]
    if not ours:
        raise CheckpointError("it is not signed by this key")
    try:
        for signature in ours:
            verifier.public_key.verify(signature, text.encode())
    except InvalidSignature as error:
        raise CheckpointError("its signature is not by this key, or its text was changed") from error
    return text


def _split_note(note: str) -> tuple[str, list[str]]:
    """Return the text of a note and its signature lines."""
    if not _is_text(note):
        raise CheckpointError("it is not Unicode text")
    if len(note.encode()) > MAX_NOTE_BYTES:
        raise CheckpointError(f"it is longer than {MAX_NOTE_BYTES // 1024} KiB")
    if CONTROL.search(note):
        raise CheckpointError("it has control characters, or Windows line ends")
    text, parted, signatures = note.rpartition("\n\n")
    *lines, rest = signatures.split("\n")
    if not parted or rest:
        raise CheckpointError("it is not a text, an empty line and signatures, each line ended")
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointError(f"it has more than {MAX_SIGNATURES} signatures")
    return text + "\n", lines


def _parse_signature(line: str) -> tuple[str, bytes]:
    """Return the name of the key, and the key id with the signature after it."""
    form = SIGNATURE.fullmatch(line)
    name, signature = (form[1], _decoded(form[2])) if form else ("", None)
    if not _is_name(name) or signature is None or len(signature) <= ID_BYTES:
        raise CheckpointError("one of its signatures is not in the form of signed notes")
    return name, signature


def _parse_checkpoint(text: str) -> Checkpoint:
    """Parse a verified text."""
    lines = text.split("\n")[:-1]
    if len(lines) < MIN_LINES or not all(lines):
        raise CheckpointError("it has fewer than three lines, or an empty line")
    origin, size, root = lines[:MIN_LINES]
    hashed = _decoded(root)
    if not NUMBER.fullmatch(size) or hashed is None:
        raise CheckpointError("its size is not a plain number, or its root is not base64")
    return Checkpoint(origin, int(size), hashed)


def _is_name(name: str) -> bool:
    return bool(name) and not CONTROL.search(name) and not any(char.isspace() or char == "+" for char in name)


def _is_text(text: str) -> bool:
    """Return whether UTF-8 can encode *text*: JSON and command lines can hold lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes | None:
    """Return the bytes; None unless *text* is their one spelling."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encoded(raw) == text else None
