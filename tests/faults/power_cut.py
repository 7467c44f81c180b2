"""Power cuts, replayed from the recorded writes of a running service.

`strace` records each write, sync and removal of the databases, and each answer sent. At any moment of that record the
disk has all synced writes. Of later writes it may have all, some, or part of a page. `cut` returns such files. The
shared memory beside a database is not on a disk, and is lost.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
"""Bytes that a disk writes completely or not at all."""
LINE = re.compile(rb"^\d+ +(?P<call>\w+)\((?P<rest>.*)$")
ON = re.compile(rb"^\d+<(?P<path>[^>]*)>")
WRITTEN = re.compile(rb'^\d+<[^>]*>, "(?P<bytes>[^"]*)", \d+, (?P<offset>\d+)\) += (?P<done>\d+)$')
CUT_OFF = re.compile(rb"^\d+<[^>]*>, (?P<size>\d+)\) += 0$")
REMOVED = re.compile(rb'^"(?P<path>[^"]*)"\) += 0$')
ANSWERED = re.compile(rb"x-request-id: ([0-9a-f]{32})", re.IGNORECASE)
RESUMED = re.compile(rb"^(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>(?P<rest>.*)$")
UNFINISHED = re.compile(rb"^(?P<pid>\d+) +(?P<begun>.*) <unfinished \.\.\.>$")
CALLS = "pwrite64,fdatasync,fsync,ftruncate,unlink,write,writev,sendto,sendmsg"


@dataclass(frozen=True, slots=True)
class Event:
    """One recorded event: a write, truncation, sync or removal of a file, or a sent answer."""

    kind: str
    path: str = ""
    content: bytes = b""
    at: int = 0


def under_strace(record: Path) -> tuple[str, ...]:
    """Return the command that records the writes of a program in *record*."""
    return ("strace", "-f", "-y", "-xx", "-s", "20000000", "-e", f"trace={CALLS}", "-o", str(record))


def events(record: Path, *roots: Path) -> list[Event]:
    """Read a record. Returns, in order, the events of the databases under *roots*, and the answers."""
    found = []
    for line in _whole(record.read_bytes().splitlines()):
        parsed = LINE.match(line)
        event = parsed and _event(parsed["call"].decode(), parsed["rest"])
        if event and (event.kind == "answer" or _ours(event.path, roots)):
            found.append(event)
    return found


def _ours(path: str, roots: Sequence[Path]) -> bool:
    return any(Path(path).is_relative_to(root) for root in roots) and path.endswith((".db", "-wal", "-journal"))


def _whole(lines: Sequence[bytes]) -> Iterator[bytes]:
    """Join the two lines of a call that a call of another thread interrupted; a call counts when it returns."""
    begun: dict[bytes, bytes] = {}
    for line in lines:
        if unfinished := UNFINISHED.match(line):
            begun[unfinished["pid"]] = unfinished["begun"]
        elif resumed := RESUMED.match(line):
            yield resumed["pid"] + b" " + begun.pop(resumed["pid"], b"") + resumed["rest"]
        else:
            yield line


def _event(call: str, rest: bytes) -> Event | None:
    if call == "unlink":
        removed = REMOVED.match(rest)
        return Event("remove", _plain(removed["path"]).decode()) if removed else None
    on = ON.match(rest)
    path = _plain(on["path"]).decode(errors="replace") if on else ""
    if call == "pwrite64" and (written := WRITTEN.match(rest)):
        return Event("write", path, _plain(written["bytes"])[: int(written["done"])], int(written["offset"]))
    if call == "ftruncate" and (cut_off := CUT_OFF.match(rest)):
        return Event("cut", path, at=int(cut_off["size"]))
    if call in {"fsync", "fdatasync"} and rest.endswith(b"= 0"):
        return Event("sync", path)
    answered = ANSWERED.search(_plain(rest)) if call in {"write", "writev", "sendto", "sendmsg"} else None
    return Event("answer", content=answered[1]) if answered else None


def _plain(escaped: bytes) -> bytes:
    """Undo `-xx`, in which every byte of a string is a hexadecimal escape."""
    return re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes([int(found[1], 16)]), escaped)


@dataclass
class Disk:
    """The synced content of files, and the writes since."""

    synced: dict[str, bytearray]
    pending: list[Event]

    def happen(self, event: Event) -> None:
        """Apply the next event. A removal counts as durable at once, because SQLite syncs the directory after it."""
        if event.kind == "remove":
            self.synced.pop(event.path, None)
            self.pending = [one for one in self.pending if one.path != event.path]
        elif event.kind == "sync":
            for one in self.pending:
                if one.path == event.path:
                    _apply(self.synced, one, len(one.content))
            self.pending = [one for one in self.pending if one.path != event.path]
        elif event.kind in {"write", "cut"}:
            self.pending.append(event)

    def cut(self, chance: random.Random) -> dict[str, bytearray]:
        """Return the files that a power cut may leave: with any of the pending writes, some of them torn."""
        files = {path: bytearray(content) for path, content in self.synced.items()}
        fate = chance.choice(("none", "all", "some", "torn"))
        for event in self.pending:
            whole = len(event.content)
            if fate == "all" or (fate in {"some", "torn"} and chance.random() < 1 / 2):
                sectors = chance.randrange(whole // SECTOR + 1) if fate == "torn" and event.kind == "write" else None
                _apply(files, event, whole if sectors is None else sectors * SECTOR)
        return files


def _apply(files: dict[str, bytearray], event: Event, length: int) -> None:
    content = files.setdefault(event.path, bytearray())
    if event.kind == "cut":
        del content[event.at :]
        content.extend(bytes(event.at - len(content)))
        return
    content.extend(bytes(max(0, event.at - len(content))))
    content[event.at : event.at + length] = event.content[:length]
