"""What a witness keeps, in a directory of its own: for each log its key, and every checkpoint of it that held.

    addresses.json                  which log was found at which address
    mien-3f8e…/log.json             the key that is believed, and why
    mien-3f8e…/checkpoints.jsonl    a line for each checkpoint, when it was taken and the note: only ever added to
    mien-3f8e…/evidence/            of a log that broke its word: what was kept, and what it answered

A line counts once it has its end, and is on the disk before it is said that the log holds. What a process that died
left of a line is taken away.
"""

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from app.db.sqlite.files import fsync
from app.transparency.verify.canonical_json import encode_json
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint

ORIGIN = re.compile(r"mien/[0-9a-f-]{36}")
TAIL = 1024 * 1024
"""Bytes at the end of the checkpoints that hold at least the last of them."""


class WitnessNotesError(Exception):
    """What the witness kept cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint that was kept."""

    note: str
    at: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class WitnessedLog:
    """What is kept of one log."""

    directory: Path
    verifier: Verifier
    given: bool
    """Whether its key was given, and not only believed at the first time."""

    @property
    def origin(self) -> str:
        """What the log is called."""
        return self.verifier.name

    @property
    def _file(self) -> Path:
        return self.directory / "checkpoints.jsonl"

    def last(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint that was kept.

        Raises:
            NotesError: the file is damaged.
        """
        try:
            with self._file.open("rb") as file:
                file.seek(max(0, self._file.stat().st_size - TAIL))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return None
        if len(lines) < 2:  # noqa: PLR2004 - a line and its end
            return None
        try:
            kept = json.loads(lines[-2])
            return StoredCheckpoint(kept["note"], kept["taken_at"], open_checkpoint(kept["note"], self.verifier))
        except (ValueError, KeyError, TypeError, CheckpointError) as error:
            raise WitnessNotesError(
                f"the last line of {self._file} is none that a witness wrote; put it right"
            ) from error

    def keep(self, note: str, *, now: datetime) -> None:
        """Add a checkpoint that holds."""
        new = not self._file.exists()
        with self._file.open("ab+") as file:
            _cut(file)
            file.write(encode_json({"taken_at": now.isoformat(timespec="seconds"), "note": note}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            fsync(self.directory)

    def keep_evidence(self, found: str, facts: Mapping[str, Any], *, now: datetime) -> Path:
        """Keep what shows that a log broke its word; the same is kept once. Returns the file."""
        directory = self.directory / "evidence"
        directory.mkdir(exist_ok=True)
        digest = hashlib.sha256(encode_json(facts)).hexdigest()[:16]
        file = directory / f"{found}-{digest}.json"
        if not file.exists():
            _put(file, {"found": found, "found_at": now.isoformat(timespec="seconds"), **facts})
        return file


class WitnessNotes:
    """All that one witness keeps."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._addresses = directory / "addresses.json"

    def at(self, address: str) -> WitnessedLog | None:
        """Return the log that was last found at an address."""
        origin = self._known().get(address)
        return None if origin is None else self.of(str(origin))

    def of(self, origin: str) -> WitnessedLog | None:
        """Return what is kept of a log; None if it was never met."""
        directory = self._directory_of(origin)
        try:
            said = json.loads((directory / "log.json").read_bytes())
            return WitnessedLog(directory, Verifier.from_vkey(said["vkey"]), given=said["key_was"] == "given")
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, CheckpointError) as error:
            raise WitnessNotesError(f"{directory / 'log.json'} is none that a witness wrote; put it right") from error

    def begin(self, verifier: Verifier, *, given: bool, now: datetime) -> WitnessedLog:
        """Believe a key from now on."""
        directory = self._directory_of(verifier.name)
        directory.mkdir(exist_ok=True)
        said = {"vkey": verifier.vkey, "key_was": "given" if given else "believed at first", "since": now.isoformat()}
        _put(directory / "log.json", said)
        fsync(self._directory)
        return WitnessedLog(directory, verifier, given=given)

    def found(self, log: WitnessedLog, address: str) -> None:
        """Remember that a log is at an address."""
        known = self._known()
        if known.get(address) != log.origin:
            _put(self._addresses, {**known, address: log.origin})

    def _known(self) -> dict[str, Any]:
        try:
            known = json.loads(self._addresses.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise WitnessNotesError(f"{self._addresses} is none that a witness wrote; put it right") from error
        return known if isinstance(known, dict) else {}

    def _directory_of(self, origin: str) -> Path:
        if not ORIGIN.fullmatch(origin):
            raise WitnessNotesError("this is no log of Mien: its name is not mien/ and an id")
        return self._directory / origin.replace("/", "-")


@contextmanager
def open_notes(directory: Path) -> Iterator[WitnessNotes]:
    """Use a directory of notes without anybody else.

    Raises:
        NotesError: another witness uses it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WitnessNotesError(f"another witness is just using {directory}") from error
        yield WitnessNotes(directory)
    finally:
        os.close(descriptor)


def _put(file: Path, said: Mapping[str, Any]) -> None:
    """Write a file whole or not at all, and have the disk confirm it."""
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(json.dumps(said, indent=1, ensure_ascii=False).encode() + b"\n")
    fsync(new)
    new.replace(file)
    fsync(file.parent)


def _cut(file: Any) -> None:  # noqa: ANN401 - a file open for reading and appending
    """Take away what was left of a line by a process that died."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    rest = file.read()
    whole = rest.rfind(b"\n") + 1
    if whole < len(rest):
        file.truncate(size - len(rest) + whole)
