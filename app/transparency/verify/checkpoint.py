"""What a log says of itself at one moment, signed: C2SP tlog-checkpoint, in a C2SP signed note. Pure.

What must be so:

* Nothing of a note is looked at as a checkpoint before its signature is verified, and the whole text is signed.
* A note has one form. What could be written in another way (base64, a number, the end of a line) is refused.
* Others may sign the same note (cosignatures). Their lines must have the form; they are passed over, whatever they say.
* A line with the name and the id of the key that is asked for must verify: one that does not spoils the note.
* Opening takes any text, and raises `CheckpointError` or nothing.
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
"""The type of a signature (C2SP signed-note)."""
ID_BYTES = 4
MAX_NOTE_BYTES = 128 * 1024
"""Bytes of a note. Sixteen signatures must fit, and those that outlast quantum computers have 5 kB each."""
MOST_SIGNATURES = 64
NEEDED_LINES = 3
"""Origin, size, root. Lines after them are allowed, signed as well, and mean nothing to us."""

SIGNATURE = re.compile(r"\N{EM DASH} ([^ ]+) ([^ ]+)")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
"""What no note has: the control characters of ASCII, but for the line feed."""


class CheckpointError(Exception):
    """This is no checkpoint of that log, or no key to verify one; the text says why, and repeats nothing of it."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """So many leaves, under this root."""

    origin: str
    """The name of the log."""
    size: int
    root: bytes

    def __post_init__(self) -> None:
        """Refuse what no log can have.

        Raises:
            CheckpointError: it is the name, the size or the root.
        """
        if not self.origin or "\n" in self.origin or CONTROL.search(self.origin) or not _is_text(self.origin):
            raise CheckpointError("a log has a name of one line")
        if not 0 <= self.size <= MAX_LEAVES:
            raise CheckpointError("no log has that size")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"a root has {HASH_BYTES} bytes")

    @property
    def text(self) -> str:
        """What is signed: three lines, each ended."""
        return f"{self.origin}\n{self.size}\n{_encoded(self.root)}\n"


@dataclass(frozen=True, slots=True)
class Verifier:
    """Whose signature a note must have."""

    name: str
    public_key: Ed25519PublicKey

    def __post_init__(self) -> None:
        """Refuse what could not stand in the line of a signature.

        Raises:
            CheckpointError: the name could not.
        """
        if not _is_name(self.name) or not _is_text(self.name):
            raise CheckpointError("a key has a name without spaces and without +")

    @classmethod
    def of(cls, vkey: str) -> "Verifier":
        """Read what `vkey` writes.

        Raises:
            CheckpointError: it is not written so, or its id is another key's.
        """
        name, _, rest = vkey.partition("+")
        raw = _decoded(rest.partition("+")[2])
        if not raw or raw[:1] != ED25519 or len(raw) != 1 + HASH_BYTES:
            raise CheckpointError("this is no Ed25519 key as signed notes have it: name+id+base64")
        verifier = cls(name, Ed25519PublicKey.from_public_bytes(raw[1:]))
        if verifier.vkey != vkey:
            raise CheckpointError("the id in this key is another key's; copy the whole line again")
        return verifier

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell keys of one name apart; they prove nothing."""
        named = self.name.encode() + b"\n" + ED25519 + self.public_key.public_bytes_raw()
        return hashlib.sha256(named).digest()[:ID_BYTES]

    @property
    def vkey(self) -> str:
        """The one line by which people hand the key on."""
        return f"{self.name}+{self.key_id.hex()}+{_encoded(ED25519 + self.public_key.public_bytes_raw())}"


def sign_checkpoint(checkpoint: Checkpoint, *, name: str, private_key: Ed25519PrivateKey) -> str:
    """Return the note that says *checkpoint*, signed by the key called *name*: a log's own is called as the log is."""
    return _signed(checkpoint.text, name=name, private_key=private_key)


def open_checkpoint(note: str, verifier: Verifier, *, origin: str | None = None) -> Checkpoint:
    """Return what *note* says, if this key signed it for this log.

    Args:
        note: any text at all.
        verifier: whose signature counts.
        origin: the log it must be about, where that is not called as the key is.

    Raises:
        CheckpointError: it is no such note.
    """
    checkpoint = _read(_verified(note, verifier))
    if checkpoint.origin != (verifier.name if origin is None else origin):
        raise CheckpointError("it is about another log")
    return checkpoint


def _signed(text: str, *, name: str, private_key: Ed25519PrivateKey) -> str:
    key_id = Verifier(name, private_key.public_key()).key_id
    return f"{text}\n\N{EM DASH} {name} {_encoded(key_id + private_key.sign(text.encode()))}\n"


def _verified(note: str, verifier: Verifier) -> str:
    """Return the text of the note."""
    text, lines = _parted(note)
    ours = [
        signature[ID_BYTES:]
        for name, signature in map(_signature, lines)
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


def _parted(note: str) -> tuple[str, list[str]]:
    """Return the text of a note and the lines of its signatures."""
    if not _is_text(note):
        raise CheckpointError("it is no text: half a character stands in it")
    if len(note.encode()) > MAX_NOTE_BYTES:
        raise CheckpointError(f"it is longer than {MAX_NOTE_BYTES // 1024} KiB")
    if CONTROL.search(note):
        raise CheckpointError("it has control characters in it, or lines that end as on Windows")
    text, parted, signatures = note.rpartition("\n\n")
    *lines, rest = signatures.split("\n")
    if not parted or rest:
        raise CheckpointError("it is not a text, an empty line, and signatures, each line ended")
    if len(lines) > MOST_SIGNATURES:
        raise CheckpointError(f"it has more than {MOST_SIGNATURES} signatures")
    return text + "\n", lines


def _signature(line: str) -> tuple[str, bytes]:
    """Return who signed, and the signature behind the id of the key."""
    form = SIGNATURE.fullmatch(line)
    name, signature = (form[1], _decoded(form[2])) if form else ("", None)
    if not _is_name(name) or signature is None or len(signature) <= ID_BYTES:
        raise CheckpointError("one of its signatures is not as signed notes have them")
    return name, signature


def _read(text: str) -> Checkpoint:
    """Return the checkpoint that a verified text is."""
    lines = text.split("\n")[:-1]
    if len(lines) < NEEDED_LINES or not all(lines):
        raise CheckpointError("it is not three lines and more, none of them empty")
    origin, size, root = lines[:NEEDED_LINES]
    hashed = _decoded(root)
    if not NUMBER.fullmatch(size) or hashed is None:
        raise CheckpointError("its size is no plain number, or its root no base64")
    return Checkpoint(origin, int(size), hashed)


def _is_name(name: str) -> bool:
    return bool(name) and not CONTROL.search(name) and not any(one.isspace() or one == "+" for one in name)


def _is_text(text: str) -> bool:
    """Say whether it can be written: JSON and command lines can hold halves of characters, UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(text: str) -> bytes | None:
    """Return the bytes, if that is the one way to write them."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _encoded(raw) == text else None
