"""`mien witness`: store a log's checkpoints and verify that each one continues the one before.

A log can show each reader another past, unless readers compare. A witness does: a signed checkpoint that does not
continue the last one is a contradiction that the service cannot deny. The first time there is nothing to compare with,
and the witness trusts the key that the user gave, or else the key that the service names.

No answer is trusted before it is verified. An unverified answer changes no file. A verified answer that contradicts
the last checkpoint is stored as evidence, with both notes.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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
"""Limit for one whole answer."""
MAX_PROOF_BYTES = 2 * MAX_NOTE_BYTES
"""Limit for an answer with a note and a proof."""
OK = 200


class Contradiction(StrEnum):
    """The way in which a log contradicts its past. The names are permanent."""

    REWRITTEN = "rewritten"
    SHRANK = "shrank"
    FORKED = "forked"
    OTHER_KEY = "other-key"
    NEW_ORIGIN = "new-origin"


class UnprovenError(Exception):
    """The check is not possible now. The text says why. No file was changed."""


class ContradictionError(Exception):
    """The log contradicts its past. The text says how."""

    def __init__(self, found: Contradiction, what: str, evidence: Path) -> None:
        super().__init__(f"{what}. The stored checkpoint and the new answer are in {evidence}")
        self.found = found
        self.evidence = evidence


@dataclass(frozen=True, slots=True)
class WitnessResult:
    """A consistent log."""

    log: WitnessedLog
    size: int
    before: StoredCheckpoint | None
    """The checkpoint that it was compared with; None the first time."""

    @property
    def more(self) -> int:
        """The number of new entries."""
        return self.size - (self.before.checkpoint.size if self.before else 0)


class _Proof(BaseModel):
    """The answer of `/v1/log/consistency`. Both sizes are taken from the notes instead."""

    model_config = ConfigDict(strict=True, frozen=True)

    hashes: Annotated[list[Digest], Field(max_length=128)] | None
    """None if the service gave no proof."""
    checkpoint: Annotated[str, Field(max_length=MAX_NOTE_BYTES)]


def check_log(url: str, *, state: Path, vkey: str | None, now: datetime, seconds: float = SECONDS) -> WitnessResult:
    """Check a log once, and store its checkpoint if it is consistent.

    Args:
        url: the service.
        state: the directory of the witness.
        vkey: the verifier line of the log's key, if the user has it. The line of a new log begins with that log.
        now: the time.
        seconds: the limit for one answer.

    Raises:
        ContradictionError: the log contradicts its past.
        UnprovenError: the check is not possible now.
        WitnessNotesError: the files of the witness cannot be used.
    """
    try:
        address, given = normalize_address(url), Verifier.from_vkey(vkey) if vkey is not None else None
        with open_notes(state) as notes:
            log = notes.find(given.name) if given else notes.find_at(address)
            if log is not None and given is not None:
                if log.verifier.vkey != given.vkey:
                    raise WitnessNotesError(
                        f"another key is trusted for this log ({log.verifier.vkey}); if that key is wrong, move "
                        f"{log.directory} away and begin again"
                    )
                if not log.given:
                    log = notes.trust(given, given=True, now=now)
            result = _Check(notes, address, now, seconds).run(log, given)
            notes.set_address(result.log, address)
            return result
    except FetchError as error:
        raise UnprovenError(str(error)) from error
    except CheckpointError as error:
        raise UnprovenError(f"the given key cannot be used: {error}") from error


class _Check:
    """One check of one service."""

    def __init__(self, notes: WitnessNotes, address: str, now: datetime, seconds: float) -> None:
        self._notes = notes
        self._address = address
        self._now = now
        self._seconds = seconds

    def run(self, log: WitnessedLog | None, given: Verifier | None) -> WitnessResult:
        if log is None:
            note = self._fetch_checkpoint()
            verifier = given or self._find_published_signer(note)
            if verifier is None:
                raise UnprovenError(f"none of the keys that {self._address} names for its log signed its checkpoint")
            log = self._notes.find(verifier.name)
            if log is None:
                return self._begin(note, verifier, given=given is not None)
        last = log.last_checkpoint()
        if last is None:
            return self._begin(self._fetch_checkpoint(), log.verifier, given=log.given)
        return self._compare(log, last, self._fetch_proof(last.checkpoint.size))

    def _begin(self, note: str, verifier: Verifier, *, given: bool) -> WitnessResult:
        checkpoint = _open(note, verifier)
        if checkpoint is None:
            raise UnprovenError(f"{self._address} answers with a checkpoint that this key did not sign")
        log = self._notes.trust(verifier, given=given, now=self._now)
        log.add_checkpoint(note, now=self._now)
        return WitnessResult(log, checkpoint.size, None)

    def _compare(self, log: WitnessedLog, last: StoredCheckpoint, answer: _Proof) -> WitnessResult:
        new = _open(answer.checkpoint, log.verifier)
        if new is None:
            found, what = self._explain_other_signer(log, answer.checkpoint)
        elif contradiction := _find_contradiction(log.origin, last.checkpoint, new, answer):
            found, what = contradiction
        else:
            if new.size > last.checkpoint.size:
                log.add_checkpoint(answer.checkpoint, now=self._now)
            return WitnessResult(log, new.size, last)
        facts: dict[str, Any] = {
            "address": self._address,
            "vkey": log.verifier.vkey,
            "kept": last.note,
            "kept_at": last.at,
            "answered": answer.checkpoint,
            "hashes": answer.hashes,
        }
        raise ContradictionError(found, what, log.add_evidence(found, facts, now=self._now))

    def _explain_other_signer(self, log: WitnessedLog, note: str) -> tuple[Contradiction, str]:
        signer = self._find_published_signer(note)
        if signer is None:
            raise UnprovenError(f"{self._address} answers with a note that the key of {log.origin} did not sign")
        if signer.name == log.origin:
            what = f"{log.origin} changed its key: it is signed by {signer.vkey}, not by {log.verifier.vkey}"
            return Contradiction.OTHER_KEY, what
        return Contradiction.NEW_ORIGIN, (
            f"{self._address} has a new log, {signer.name} instead of {log.origin}, which proves nothing of the old "
            f"one. To go on with the new log, give its key: --vkey {signer.vkey}"
        )

    def _fetch_checkpoint(self) -> str:
        answer = self._fetch("/v1/log/checkpoint", max_bytes=MAX_NOTE_BYTES)
        try:
            return answer.body.decode()
        except UnicodeDecodeError as error:
            raise UnprovenError(f"{self._address} answers with a checkpoint that is not text") from error

    def _fetch_proof(self, size: int) -> _Proof:
        """Fetch the proof that the log only grew; without a proof, the checkpoint."""
        answer = self._fetch(f"/v1/log/consistency?from={size}", max_bytes=MAX_PROOF_BYTES, any_status=True)
        if answer.status != OK:
            return _Proof(hashes=None, checkpoint=self._fetch_checkpoint())
        try:
            return _Proof.model_validate(parse_json(answer.body))
        except ValueError as error:
            raise UnprovenError(f"{self._address} answers with a proof in another form than Mien's") from error

    def _find_published_signer(self, note: str) -> Verifier | None:
        """Return the key that signed a note, if the service publishes it for the log that the note is about."""
        origin = note.partition("\n")[0]
        if not ORIGIN.fullmatch(origin):
            raise UnprovenError(f"{self._address} answers with no checkpoint of a log of Mien")
        answer = self._fetch("/.well-known/jwks.json", max_bytes=jwks.MAX_JWKS_BYTES)
        try:
            keys = jwks.parse_jwks(answer.body).values()
            verifiers = [Verifier(origin, key.key) for key in keys if key.mien_origin == origin and key.revoked is None]
        except (ValueError, CheckpointError) as error:
            raise UnprovenError(f"{self._address} publishes no usable keys: {error}") from error
        return next((verifier for verifier in verifiers if _open(note, verifier) is not None), None)

    def _fetch(self, path: str, *, max_bytes: int, any_status: bool = False) -> FetchedResponse:
        answer = fetch(self._address + path, max_bytes=max_bytes, seconds=self._seconds)
        if answer.status != OK and not any_status:
            raise UnprovenError(f"{self._address}{path} answers {answer.status}")
        return answer


def _find_contradiction(
    origin: str, before: Checkpoint, new: Checkpoint, answer: _Proof
) -> tuple[Contradiction, str] | None:
    """Return the contradiction between two verified checkpoints of one log.

    Raises:
        UnprovenError: the log has grown, and its answer has no proof.
    """
    if new.size < before.size:
        return Contradiction.SHRANK, f"{origin} shrank from {before.size} to {new.size} entries"
    if new.size == before.size:
        if new.root == before.root:
            return None
        return Contradiction.FORKED, f"{origin} forked: it signed two roots for the same {new.size} entries"
    if answer.hashes is None:
        raise UnprovenError(f"{origin} has grown, but the service answers with no proof that it only grew")
    hashes = [bytes.fromhex(digest) for digest in answer.hashes]
    if merkle.verify_consistency(hashes, old=before.size, old_root=before.root, size=new.size, root=new.root):
        return None
    return Contradiction.REWRITTEN, (
        f"{origin} was rewritten: no proof shows that its {new.size} entries begin with the {before.size} entries that "
        "it signed before"
    )


def _open(note: str, verifier: Verifier) -> Checkpoint | None:
    try:
        return open_checkpoint(note, verifier)
    except CheckpointError:
        return None
