"""Access (GDPR Art. 15): everything in one document, from the first day, as often as asked. Streamed, not gathered."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.dialects.sqlite import insert

from app.consent import overview
from app.faces.measuring import Measuring
from app.kit.datamap import Form
from app.kit.settings import Settings
from app.parties import service as parties
from app.rights import holdings, retention
from app.rights.tables import AccessCount
from app.subjects import service as subjects
from app.vault.vault import Vault

SCHEMA = "/v1/schemas/access"
WARNING = (
    "A template's vector can be turned back into a likeness of your face. Keep the files in templates/ as carefully as "
    "a photo of yourself that you would not show."
)
LOGIC = (
    "Each face is measured as a list of numbers. Your template is the mean of your enrolled photos' lists. A photo "
    "that a relying party sends is measured too; if the distance between the two lists is below the threshold the "
    "answer is match, else no match. The error rates, and how they differ between groups of people, are at /v1/engine. "
    "What follows from the answer is up to the relying party; it must offer you a way without your face."
)
RIGHTS = (
    ("access", "GDPR Art. 15", "GET /v1/me/access"),
    ("portability", "GDPR Art. 20", "GET /v1/me/export"),
    ("rectification", "GDPR Art. 16", "PATCH /v1/me, or enrol again"),
    ("withdrawal of consent", "GDPR Art. 7(3)", "DELETE /v1/me/consents/{consent_id}"),
    ("erasure", "GDPR Art. 17", "DELETE /v1/me"),
    ("complaint", "GDPR Art. 77", "the data protection authority where you live or work"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, when, and what the answer is made from."""

    vault: Vault
    settings: Settings
    faces: Measuring
    subject_id: UUID
    now: datetime


def count(asked: Asked) -> None:
    """Count one access, a line for each day: asking often costs nothing, and is nobody's business but the person's."""
    day = asked.now.date()
    with asked.vault.data.write() as session:
        subjects.get(session, asked.subject_id)
        line = insert(AccessCount).values(id=uuid4(), subject_id=asked.subject_id, on_day=day, times=1)
        more = {"times": AccessCount.times + 1}
        session.execute(line.on_conflict_do_update(index_elements=["subject_id", "on_day"], set_=more))


def document(asked: Asked) -> Iterator[str]:
    """Write the document as JSON, piece by piece; no transaction is open between two pieces."""
    yield json.dumps(head(asked), indent=1)[:-2] + ',\n "data": {'
    for number, table in enumerate(holdings.tables()):
        yield ("," if number else "") + f'\n  "{table.name}": ['
        held = holdings.rows(asked.vault, subject_id=asked.subject_id, table=table)
        for position, row in enumerate(held):
            yield ("," if position else "") + "\n   " + json.dumps(described(table.name, row))
        yield "]"
    yield "\n }\n}\n"


def described(table: str, row: Mapping[str, holdings.Value]) -> dict[str, Any]:
    """Return a row with each file in it described by its size and SHA-256, and by where the export has it."""
    return {
        name: _description(table, str(row["id"]), value) if isinstance(value, holdings.File) else value
        for name, value in row.items()
    }


def path_of(table: str, row_id: str, form: Form) -> str:
    """Return where in the export a file of this row is."""
    return f"{table}/{row_id}.{'json' if form is Form.VECTOR else 'jpg'}"


def _description(table: str, row_id: str, file: holdings.File) -> dict[str, Any]:
    return {
        "file": path_of(table, row_id, file.form),
        "bytes": len(file.content),
        "sha256": hashlib.sha256(file.content).hexdigest(),
    }


def head(asked: Asked) -> dict[str, Any]:
    """Return all of the document but the data."""
    key = subjects.key(asked.vault, asked.subject_id)
    with asked.vault.data.read() as session:
        grants = overview.in_force(session, subject_id=asked.subject_id, now=asked.now)
        party_ids = overview.parties_decided_on(session, key, subject_id=asked.subject_id)
        recipients = [party for party_id in party_ids if (party := parties.get(session, party_id)) is not None]
    card, settings = asked.faces.card, asked.settings
    return {
        "$schema": SCHEMA,
        "made_at": asked.now.isoformat(),
        "subject_id": str(asked.subject_id),
        "controller": settings.controller,
        "profile": settings.profile,
        "source": "you: every photo, name and decision here was given by you; comparisons were made when a relying "
        "party that you consented to asked",
        "purposes": [
            {"consent_id": str(grant.id), "purpose": grant.purpose, "until": grant.valid_until.isoformat()}
            for grant in grants
        ],
        "recipients": [
            {
                "relying_party_id": str(party.id),
                "name": party.name,
                "contact": party.contact,
                "learns": "match or no match, a random reference to you, and that a consent began or ended",
            }
            for party in recipients
        ],
        "retention": [asdict(rule) for rule in retention.policy(settings)],
        "logic": {
            "engine": card.id,
            "weights_sha256": card.weights_sha256,
            "target_fmr": asked.faces.target_fmr,
            "threshold": asked.faces.threshold,
            "in_words": LOGIC,
        },
        "rights": [{"right": right, "law": law, "how": how} for right, law, how in RIGHTS],
        "warning": WARNING,
    }
