"""Access (GDPR Art. 15): everything in one document, from the first day, as often as asked. Streamed, not gathered."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import structlog
from sqlalchemy import bindparam
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import OperationalError

from app.consent import queries
from app.consent.tables import ConsentProof
from app.db.sqlite.prepared import Prepared, within
from app.faces.permit import Purpose
from app.faces.service import Measuring
from app.parties import queries as parties
from app.rights import personal_data, retention
from app.rights.tables import AccessCount
from app.settings import Settings
from app.subjects import service as subjects
from app.templates import status as standing
from app.transparency.verify.bundle import Bundle
from app.vault.vault import Vault

SCHEMA = "/v1/schemas/access"
CHUNK_BYTES = 64 * 1024
"""What is sent at once, at least: each sending is a turn of the thread pool."""
COUNTING_S = 0.5
"""The longest that an access waits to be counted."""
SOURCE = (
    "you: every photo, name and decision here was given by you; comparisons were made when a relying party that you "
    "consented to asked"
)
LEGAL_BASIS = "your explicit consent (GDPR Art. 6(1)(a) and 9(2)(a))"
PURPOSES = {
    Purpose.VERIFICATION: "check whether a photo shows you",
    Purpose.IDENTIFICATION: "find you among the people in its gallery",
    Purpose.TEMPLATE_RENEWAL: "keep your photos, to measure them again when the engine changes",
}
"""What is allowed: to a relying party, the last one to Mien."""
LEARNS = "match or no match, a random reference to you, and that a consent began or ended"
LOGIC = (
    "Each face is measured as a list of numbers. Your template is the mean of your enrolled photos' lists. A photo "
    "that a relying party sends is measured too; if the distance between the two lists is below the threshold the "
    "answer is match, else no match. The error rates, and how they differ between groups of people, are at /v1/engine. "
    "What follows from the answer is up to the relying party; it must offer you a way without your face."
)


@dataclass(frozen=True, slots=True)
class Right:
    """Something that a person can do, whenever they like."""

    right: str
    law: str
    how: str
    what: str


RIGHTS = (
    Right("access", "GDPR Art. 15", "GET /v1/me/access", "See everything that is held about you, and how it is used."),
    Right("portability", "GDPR Art. 20", "GET /v1/me/export", "Take everything with you, in one ZIP."),
    Right(
        "rectification", "GDPR Art. 16", "PATCH /v1/me, or enrol again", "Correct your name, or replace your photos."
    ),
    Right(
        "withdrawal of consent",
        "GDPR Art. 7(3)",
        "DELETE /v1/me/consents/{consent_id}",
        "End a consent. Its template and photos are gone at once.",
    ),
    Right("restriction", "GDPR Art. 18", "PUT /v1/me/restriction", "Stop all use of your face, and keep your data."),
    Right("erasure", "GDPR Art. 17", "DELETE /v1/me", "Erase your account and everything on this page."),
    Right(
        "erasure of your history",
        "GDPR Art. 17",
        "DELETE /v1/me/comparisons, with ?before=YYYY-MM-DD",
        "Delete the uses of your face of before a day from your list.",
    ),
    Right(
        "complaint",
        "GDPR Art. 77",
        "the data protection authority where you live or work",
        "Complain to somebody independent.",
    ),
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, when, and what the answer is made from."""

    vault: Vault
    settings: Settings
    faces: Measuring
    subject_id: UUID
    now: datetime
    receipt: Bundle | None = None
    """That they asked, where they wanted that."""
    prove: Callable[[bytes], bytes] = personal_data.as_issued
    """Adds to a receipt the proof that it is in the log: of one moment, so that all parts of an answer agree."""


_COUNT = Prepared(
    insert(AccessCount)
    .values(id=bindparam("id"), subject_id=bindparam("subject_id"), on_day=bindparam("on_day"), times=1)
    .on_conflict_do_update(index_elements=["subject_id", "on_day"], set_={"times": AccessCount.times + 1})
    .returning(AccessCount.times)
)


def count(asked: Asked) -> None:
    """Count one access, a line for each day: asking often costs nothing, and is nobody's business but the person's.

    To disk at once, for a count that a crash takes back would not be theirs to rely on. But a right is neither refused
    nor kept waiting for its own statistics: a store that cannot be written (a full disk), or not within a tenth of a
    second (it is being written anew), leaves the access uncounted.
    """
    try:
        with asked.vault.data.writing(patience_s=COUNTING_S) as writing:
            subjects.check_exists(writing, asked.subject_id)
            writing.all(_COUNT, id=uuid4(), subject_id=asked.subject_id, on_day=asked.now.date())
    except OperationalError as error:
        log.warning("access not counted", error=type(error.orig).__name__)


def document(asked: Asked) -> Iterator[bytes]:
    """Write the document as JSON, piece by piece; no transaction is open between two pieces.

    Raises:
        UnauthenticatedError: the person was erased; before the first piece, or between two.
    """
    return gathered(written(asked, head(asked)))


def written(asked: Asked, head: Mapping[str, Any]) -> Iterator[bytes]:
    """Write the document that begins with *head*."""
    yield (_json(head, indent=1)[:-2] + ',\n "data": {').encode()
    for number, table in enumerate(personal_data.tables()):
        yield (("," if number else "") + f'\n  "{table.name}": [').encode()
        held = personal_data.rows(asked.vault, subject_id=asked.subject_id, table=table, prove=asked.prove)
        for position, row in enumerate(held):
            yield (("," if position else "") + "\n   " + _json(described(row))).encode()
        yield b"]"
    yield b"\n }\n}\n"


def _json(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False)


def described(row: Mapping[str, personal_data.Value]) -> dict[str, Any]:
    """Return a row with each file in it described."""
    return {name: value.described() if isinstance(value, personal_data.File) else value for name, value in row.items()}


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Put small pieces together."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held.clear()
            size = 0
    yield b"".join(held)


def head(asked: Asked) -> dict[str, Any]:
    """Return all of the document but the data.

    Raises:
        UnauthenticatedError: the person was erased.
    """
    card, settings = asked.faces.card, asked.settings
    return {
        "$schema": SCHEMA,
        "made_at": asked.now.isoformat(),
        "receipt": None if asked.receipt is None else asked.receipt.model_dump(mode="json", exclude_none=True),
        "subject_id": str(asked.subject_id),
        "controller": settings.controller,
        "profile": settings.profile,
        "source": SOURCE,
        **_told(asked),
        "templates": [one.told() for one in standing.of(asked.vault, asked.subject_id, now=asked.now)],
        "retention": [asdict(rule) for rule in retention.policy(settings)],
        "logic": {
            "engine": card.id,
            "weights_sha256": card.weights_sha256,
            "target_fmr": asked.faces.target_fmr,
            "threshold": asked.faces.threshold,
            "in_words": LOGIC,
        },
        "rights": [asdict(right) for right in RIGHTS],
        "warning": personal_data.WARNING,
    }


def _told(asked: Asked) -> dict[str, Any]:
    """Return what is in force, every relying party that the person ever decided about, and the proofs there are."""
    key = subjects.key(asked.vault, asked.subject_id)
    with asked.vault.data.read() as session:
        reading = within(session)
        restricted = subjects.is_restricted(reading, asked.subject_id)
        grants = queries.list_in_force(session, subject_id=asked.subject_id, now=asked.now)
        decided = queries.find_past_decisions(session, key, subject_id=asked.subject_id)
        recipients = {party.id: party for party in parties.list_recipients(session, decided.relying_party_ids)}
    return {
        "restricted": restricted,
        "purposes": [
            {
                "consent_id": str(grant.id),
                "purpose": grant.purpose,
                "in_words": PURPOSES[grant.purpose],
                "relying_party": recipients[grant.relying_party_id].name if grant.relying_party_id else None,
                "until": grant.valid_until.isoformat(),
                "legal_basis": LEGAL_BASIS,
                "notice": f"/v1/notices/{grant.notice_sha256}",
            }
            for grant in grants
        ],
        "recipients": [
            {
                "relying_party_id": str(party.id),
                "name": party.name,
                "contact": party.contact,
                "learns": LEARNS,
                "alternative": party.alternative,
                "context": party.context,
                "legal_basis": party.legal_basis,
            }
            for party in recipients.values()
        ],
        "proofs": [_proof(asked.settings, consent_id, proof) for consent_id, proof in decided.proofs],
    }


def _proof(settings: Settings, consent_id: UUID, proof: ConsentProof) -> dict[str, Any]:
    """Return what may outlive the account of one consent."""
    until = None if proof.ended_on is None else proof.ended_on + settings.proof_retention
    return {
        "consent_id": str(consent_id),
        "purpose": proof.purpose,
        "relying_party_id": str(proof.relying_party_id) if proof.relying_party_id else None,
        "notice": f"/v1/notices/{proof.notice_sha256}",
        "given_on": proof.given_on.isoformat(),
        "ended_on": proof.ended_on.isoformat() if proof.ended_on else None,
        "kept_until": until.isoformat() if until else None,
    }
