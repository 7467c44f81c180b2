"""The files of a witness, in a directory of its own: for each log its key, and every consistent checkpoint.

    addresses.json                  the log that was last found at each address
    mien-3f8e…/log.json             the trusted key, and whether the user gave it
    mien-3f8e…/checkpoints.jsonl    one line for each checkpoint: its time and the note; lines are only added
    mien-3f8e…/evidence/            both notes of each contradiction

A line counts once it has its line end, and is on the disk before the log is reported as consistent. A partial line of
a process that died is removed.
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

from app.kit.files import fsync, open_regular, read_limited, replace_file
from app.transparency.verify.canonical_json import encode_json
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint

ORIGIN = re.compile(r"mien/[0-9a-f-]{36}")
TAIL = 1024 * 1024
"""Bytes at the end of the checkpoints, enough for the last one; and the most of each other file."""


class WitnessNotesError(Exception):
    """The files of the witness cannot be used. The text says why."""


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint in the files."""

    note: str
    at: str
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class WitnessedLog:
    """The files of one log."""

    directory: Path
    verifier: Verifier
    given: bool
    """Whether the user gave the key. Otherwise the key that the service named at first is trusted."""

    @property
    def origin(self) -> str:
        """The name of the log."""
        return self.verifier.name

    @property
    def _file(self) -> Path:
        return self.directory / "checkpoints.jsonl"

    def last_checkpoint(self) -> StoredCheckpoint | None:
        """Return the newest checkpoint.

        Raises:
            WitnessNotesError: the file is damaged.
        """
        try:
            with open_regular(self._file) as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
                lines = file.read(TAIL).split(b"\n")
        except FileNotFoundError:
            return None
        if len(lines) < 2:  # noqa: PLR2004 - a line and its end
            return None
        with _refusing_damage(f"the last line of {self._file}"):
            line = json.loads(lines[-2])
            return StoredCheckpoint(line["note"], line["taken_at"], open_checkpoint(line["note"], self.verifier))

    def add_checkpoint(self, note: str, *, now: datetime) -> None:
        """Add a consistent checkpoint."""
        new = not self._file.exists()
        with open_regular(self._file, "ab+", permissions=0o666) as file:
            _remove_partial_line(file)
            file.write(encode_json({"taken_at": now.isoformat(timespec="seconds"), "note": note}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            fsync(self.directory)

    def add_evidence(self, found: str, facts: Mapping[str, Any], *, now: datetime) -> Path:
        """Store the evidence of a contradiction, once for the same facts; return its file."""
        directory = self.directory / "evidence"
        directory.mkdir(exist_ok=True)
        digest = hashlib.sha256(encode_json(facts)).hexdigest()[:16]
        file = directory / f"{found}-{digest}.json"
        if not file.exists():
            _write(file, {"found": found, "found_at": now.isoformat(timespec="seconds"), **facts})
        return file


class WitnessNotes:
    """The files of one witness."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._addresses = directory / "addresses.json"

    def find_at(self, address: str) -> WitnessedLog | None:
        """Return the log that was last found at an address."""
        origin = self._read_addresses().get(address)
        return None if origin is None else self.find(str(origin))

    def find(self, origin: str) -> WitnessedLog | None:
        """Return the log with this name; None if it is new."""
        directory = self._directory_of(origin)
        try:
            content = read_limited(directory / "log.json", max_bytes=TAIL, follow=False)
        except FileNotFoundError:
            return None
        with _refusing_damage(str(directory / "log.json")):
            log = json.loads(content)
            return WitnessedLog(directory, Verifier.from_vkey(log["vkey"]), given=log["key_was"] == "given")

    def trust(self, verifier: Verifier, *, given: bool, now: datetime) -> WitnessedLog:
        """Trust a key from now on."""
        directory = self._directory_of(verifier.name)
        directory.mkdir(exist_ok=True)
        log = {"vkey": verifier.vkey, "key_was": "given" if given else "believed at first", "since": now.isoformat()}
        _write(directory / "log.json", log)
        fsync(self._directory)
        return WitnessedLog(directory, verifier, given=given)

    def set_address(self, log: WitnessedLog, address: str) -> None:
        """Record that a log is at an address."""
        addresses = self._read_addresses()
        if addresses.get(address) != log.origin:
            _write(self._addresses, {**addresses, address: log.origin})

    def _read_addresses(self) -> dict[str, Any]:
        try:
            content = read_limited(self._addresses, max_bytes=TAIL, follow=False)
        except FileNotFoundError:
            return {}
        with _refusing_damage(str(self._addresses)):
            return dict(json.loads(content))

    def _directory_of(self, origin: str) -> Path:
        if not ORIGIN.fullmatch(origin):
            raise WitnessNotesError("this is not a log of Mien: its name is not mien/ and an id")
        return self._directory / origin.replace("/", "-")


@contextmanager
def open_notes(directory: Path) -> Iterator[WitnessNotes]:
    """Open the files of a witness, which no other witness may use meanwhile.

    Raises:
        WitnessNotesError: another witness uses them.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open_regular(directory / "lock", "ab+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WitnessNotesError(f"another witness is using {directory}") from error
        yield WitnessNotes(directory)


@contextmanager
def _refusing_damage(name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, CheckpointError) as error:
        raise WitnessNotesError(f"{name} is not as a witness wrote it; restore it from a copy") from error


def _write(file: Path, content: Mapping[str, Any]) -> None:
    replace_file(file, json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n")


def _remove_partial_line(file: Any) -> None:  # noqa: ANN401 - a file open for reading and appending
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - TAIL))
    rest = file.read()
    whole = rest.rfind(b"\n") + 1
    if whole < len(rest):
        file.truncate(size - len(rest) + whole)
