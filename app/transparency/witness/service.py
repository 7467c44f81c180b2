"""`mien witness`: remembers a log for somebody else, and holds it to what it said before.

A log can show each of us another past, as long as nobody compares. Whoever keeps its checkpoints can: a signed one that
does not go on from the last cannot be explained away. The first time there is nothing to compare with, and its key is
either given, or believed as the service names it.

Nothing that is answered is believed before it is verified. What cannot be verified changes nothing that is kept; what
is verified and contradicts what was kept is kept as evidence, both notes together.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.transparency.verify import jwks, merkle
from app.transparency.verify.canonical_json import Digest, parse_json
from app.transparency.verify.checkpoint import MAX_NOTE_BYTES, Checkpoint, CheckpointError, Verifier, open_checkpoint
from app.transparency.witness.http_fetch import FetchedResponse, FetchError, fetch, normalize_address
from app.transparency.witness.notes import (
    ORIGIN,
    StoredCheckpoint,
    WitnessedLog,
    WitnessNotes,
    WitnessNotesError,
    open_notes,
)

SECONDS = 30.0
"""How long one answer may take, all of it."""
LARGEST = 2 * MAX_NOTE_BYTES
"""Bytes of an answer with a note in it, and a proof."""
OK = 200


class Contradiction(StrEnum):
    """How a log breaks its word. The names are permanent."""

    REWRITTEN = "rewritten"
    SHRANK = "shrank"
    FORKED = "forked"
    OTHER_KEY = "other-key"
    NEW_ORIGIN = "new-origin"


class UnprovenError(Exception):
    """It cannot be said now whether the log holds; the text says why. Nothing that is kept has changed."""


class ContradictionError(Exception):
    """The log does not hold; the text says what happened."""

    def __init__(self, found: Contradiction, what: str, evidence: Path) -> None:
        super().__init__(f"{what}. What was kept and what it answers now are in {evidence}")
        self.found = found
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class WitnessResult:
    """A log that holds."""

    log: WitnessedLog
    size: int
    before: StoredCheckpoint | None
    """What it was held against; None at the first time."""

    @property
    def more(self) -> int:
        """How much it has grown."""
        return self.size - (self.before.checkpoint.size if self.before else 0)


class _Proof(BaseModel):
    """What the service answers at `/v1/log/consistency`; size and start are taken from the notes."""

    model_config = ConfigDict(strict=True, frozen=True)

    hashes: Annotated[list[Digest], Field(max_length=128)]
    checkpoint: Annotated[str, Field(max_length=MAX_NOTE_BYTES)]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A note, and what is said to lead to it."""

    note: str
    hashes: list[str] | None
    """None if there was no proof."""


def check_log(url: str, *, state: Path, vkey: str | None, now: datetime) -> WitnessResult:
    """Look at a log once, and keep its checkpoint if it holds.

    Args:
        url: the service.
        state: the directory that the witness keeps its notes in.
        vkey: the key of its checkpoints, as it was handed on. One of another log than before begins with that.
        now: the time.

    Raises:
        ContradictionError: it does not hold.
        UnprovenError: that cannot be said now.
        NotesError: what was kept cannot be used.
    """
    try:
        at, given = normalize_address(url), Verifier.from_vkey(vkey) if vkey is not None else None
        with open_notes(state) as notes:
            log = notes.of(given.name) if given else notes.at(at)
            if log is not None and given is not None and log.verifier.vkey != given.vkey:
                raise WitnessNotesError(
                    f"for this log another key is believed ({log.verifier.vkey}); if it is the wrong one, move "
                    f"{log.directory} away and begin anew"
                )
            if log is not None and given is not None and not log.given:
                log = notes.begin(given, given=True, now=now)
            held = _Look(notes, at, now).at(log, given)
            notes.found(held.log, at)
            return held
    except FetchError as error:
        raise UnprovenError(str(error)) from error
    except CheckpointError as error:
        raise UnprovenError(f"the key that was given cannot be used: {error}") from error


class _Look:
    """One look at one service."""

    def __init__(self, notes: WitnessNotes, at: str, now: datetime) -> None:
        self._notes = notes
        self._at = at
        self._now = now

    def at(self, log: WitnessedLog | None, given: Verifier | None) -> WitnessResult:
        """Look at a log that is known, or meet it."""
        if log is None:
            note = self._note()
            verifier = given or self._named(note)
            if verifier is None:
                raise UnprovenError(f"{self._at} answers a checkpoint that no key signed which it names for that log")
            log = self._notes.of(verifier.name)
            if log is None:
                return self._first(note, verifier, given=given is not None)
        last = log.last()
        if last is None:
            return self._first(self._note(), log.verifier, given=log.given)
        answer = self._proof(last.checkpoint.size)
        return self._judged(log, last, answer)

    def _first(self, note: str, verifier: Verifier, *, given: bool) -> WitnessResult:
        checkpoint = _opened(note, verifier)
        if checkpoint is None:
            raise UnprovenError(f"{self._at} answers a checkpoint that this key did not sign")
        log = self._notes.begin(verifier, given=given, now=self._now)
        log.keep(note, now=self._now)
        return WitnessResult(log, checkpoint.size, None)

    def _judged(self, log: WitnessedLog, last: StoredCheckpoint, answer: _Answer) -> WitnessResult:
        now = _opened(answer.note, log.verifier)
        if now is None:
            raise self._stranger(log, last, answer)
        before = last.checkpoint
        if now.size < before.size:
            what = f"{log.origin} shrank: it had {before.size} entries and says {now.size}"
            raise self._broken(log, last, answer, Contradiction.SHRANK, what)
        if now.size == before.size and now.root != before.root:
            what = f"{log.origin} forked: it signed another root for the same {now.size} entries"
            raise self._broken(log, last, answer, Contradiction.FORKED, what)
        if now.size > before.size:
            if answer.hashes is None:
                raise UnprovenError(f"{log.origin} has grown, and {self._at} answers no proof that it only did that")
            self._check(log, last, answer, now)
            log.keep(answer.note, now=self._now)
        return WitnessResult(log, now.size, last)

    def _check(self, log: WitnessedLog, last: StoredCheckpoint, answer: _Answer, now: Checkpoint) -> None:
        proof, before = [bytes.fromhex(one) for one in answer.hashes or ()], last.checkpoint
        if not merkle.verify_consistency(proof, old=before.size, old_root=before.root, size=now.size, root=now.root):
            what = (
                f"{log.origin} was rewritten: what it signed for {now.size} entries is not shown to begin with the "
                f"{before.size} that it signed before"
            )
            raise self._broken(log, last, answer, Contradiction.REWRITTEN, what)

    def _stranger(self, log: WitnessedLog, last: StoredCheckpoint, answer: _Answer) -> Exception:
        """Say what it means that the log's key did not sign."""
        named = self._named(answer.note)
        if named is None:
            return UnprovenError(f"{self._at} answers something that the key of {log.origin} did not sign")
        if named.name == log.origin:
            what = f"{log.origin} changed its key: it is signed by {named.vkey}, and not by {log.verifier.vkey}"
            return self._broken(log, last, answer, Contradiction.OTHER_KEY, what)
        what = (
            f"{self._at} has another log now, {named.name} instead of {log.origin}: a new one, by which nothing of the "
            f"old is proven. To go on with the new one, give its key: --vkey {named.vkey}"
        )
        return self._broken(log, last, answer, Contradiction.NEW_ORIGIN, what)

    def _broken(
        self, log: WitnessedLog, last: StoredCheckpoint, answer: _Answer, found: Contradiction, what: str
    ) -> ContradictionError:
        facts: dict[str, Any] = {
            "address": self._at,
            "vkey": log.verifier.vkey,
            "kept": last.note,
            "kept_at": last.at,
            "answered": answer.note,
            "hashes": answer.hashes,
        }
        return ContradictionError(found, what, log.keep_evidence(found, facts, now=self._now))

    def _note(self) -> str:
        answered = self._get("/v1/log/checkpoint", largest=MAX_NOTE_BYTES)
        try:
            return answered.body.decode()
        except UnicodeDecodeError as error:
            raise UnprovenError(f"{self._at} answers no text for a checkpoint") from error

    def _proof(self, size: int) -> _Answer:
        """Ask for the proof that the log only grew. A service that does not give it is asked for the checkpoint."""
        answered = self._get(f"/v1/log/consistency?from={size}", largest=LARGEST, even_refused=True)
        if answered.status != OK:
            return _Answer(self._note(), None)
        try:
            proof = _Proof.model_validate(parse_json(answered.body))
        except (ValidationError, ValueError) as error:
            raise UnprovenError(f"{self._at} answers no proof as Mien writes it") from error
        return _Answer(proof.checkpoint, proof.hashes)

    def _named(self, note: str) -> Verifier | None:
        """Return the key that signed a note, if the service names it as that of the log that the note is about."""
        origin = note.partition("\n")[0]
        if not ORIGIN.fullmatch(origin):
            raise UnprovenError(f"{self._at} answers no checkpoint of a log of Mien")
        answered = self._get("/.well-known/jwks.json", largest=jwks.MAX_JWKS_BYTES)
        try:
            keys = jwks.parse_jwks(answered.body).values()
            named = [Verifier(origin, key.key) for key in keys if key.mien_origin == origin and key.revoked is None]
        except (jwks.JwksError, CheckpointError) as error:
            raise UnprovenError(f"{self._at} names no keys that can be used: {error}") from error
        return next((one for one in named if _opened(note, one) is not None), None)

    def _get(self, path: str, *, largest: int, even_refused: bool = False) -> FetchedResponse:
        answered = fetch(self._at + path, largest=largest, seconds=SECONDS)
        if answered.status != OK and not even_refused:
            raise UnprovenError(f"{self._at}{path} answers {answered.status}")
        return answered


def _opened(note: str, verifier: Verifier) -> Checkpoint | None:
    try:
        return open_checkpoint(note, verifier)
    except CheckpointError:
        return None
