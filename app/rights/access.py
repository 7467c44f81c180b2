"""Access (GDPR Art. 15): one JSON document with all data of the subject, from the first day. Streamed."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

import structlog
from sqlalchemy.exc import OperationalError

from app.consent import queries
from app.consent.tables import ConsentProof, Grant
from app.db.upsert import Upsert
from app.faces.service import RunningEngine
from app.parties import queries as parties
from app.parties.tables import RelyingParty
from app.rights import explanations, personal_data, retention
from app.rights.access_schema import (
    AccessHead,
    AccessReceipt,
    ActivePurpose,
    Logic,
    ProofOfConsent,
    Recipient,
    TemplateStatus,
)
from app.rights.tables import AccessCount
from app.settings import Settings
from app.subjects import service as subjects
from app.templates import status as standing
from app.transparency.verify.bundle import Bundle
from app.vault.vault import Vault

COUNT_WAIT_S = 0.5
"""Longest wait of an access for its own count."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRequest:
    """One request for access or export, and everything that its answer is made from."""

    vault: Vault
    settings: Settings
    engine: RunningEngine
    subject_id: UUID
    now: datetime
    receipt: Bundle | None = None
    """Receipt of this request, if the subject wanted one."""
    add_proof: personal_data.AddProof | None = None
    """Proves receipts against one head of the transparency log, so that all parts of an answer agree."""


_COUNT = Upsert(AccessCount, key=["subject_id", "on_day"], changes={"times": AccessCount.times + 1})


def count_access(request: AccessRequest) -> None:
    """Count the access in the subject's row of the day, durably.

    A store that is full, or busy for longer than COUNT_WAIT_S, leaves the access uncounted: the count must not
    refuse or delay a right.
    """
    try:
        with request.vault.data.write(wait_s=COUNT_WAIT_S) as session:
            subjects.get(session, request.subject_id)
            row = {"id": uuid4(), "subject_id": request.subject_id, "on_day": request.now.date(), "times": 1}
            _COUNT.execute(session, row)
    except OperationalError as error:
        log.warning("access not counted", error=type(error.orig).__name__)


def document(request: AccessRequest) -> Iterator[bytes]:
    """Yield the document as JSON in pieces; no transaction is open between two pieces.

    Raises:
        UnauthenticatedError: the subject was erased; before the first piece, or between two.
    """
    return document_pieces(request, head(request))


def document_pieces(request: AccessRequest, head: AccessHead) -> Iterator[bytes]:
    """Yield the document that begins with *head*, one row at a time."""
    yield (_json(head.model_dump(mode="json", by_alias=True), indent=1)[:-2] + ',\n "data": {').encode()
    for number, table in enumerate(personal_data.tables()):
        yield (("," if number else "") + f'\n  "{table.name}": [').encode()
        rows = personal_data.read_rows(
            request.vault, subject_id=request.subject_id, table=table, add_proof=request.add_proof
        )
        for position, row in enumerate(rows):
            yield (("," if position else "") + "\n   " + _json(row)).encode()
        yield b"]"
    yield b"\n }\n}\n"


def _json(value: object, *, indent: int | None = None) -> str:
    return json.dumps(value, indent=indent, ensure_ascii=False, default=personal_data.ExportFile.described)


def head(request: AccessRequest) -> AccessHead:
    """Return the document without the data.

    Raises:
        UnauthenticatedError: the subject was erased.
    """
    card, settings = request.engine.card, request.settings
    templates = standing.list_statuses(request.vault, request.subject_id, now=request.now)
    receipt = request.receipt
    key = subjects.key(request.vault, request.subject_id)
    with request.vault.data.read() as session:
        restricted = subjects.get(session, request.subject_id).restricted
        grants = queries.list_in_force(session, subject_id=request.subject_id, now=request.now)
        party_ids, proofs = queries.find_past_decisions(session, key, subject_id=request.subject_id)
        recipients = {party.id: party for party in parties.list_recipients(session, party_ids)}
    return AccessHead(
        made_at=request.now.isoformat(),
        receipt=None if receipt is None else AccessReceipt(**receipt.model_dump(exclude_none=True)),
        subject_id=request.subject_id,
        controller=settings.controller,
        profile=settings.profile,
        source=explanations.SOURCE,
        restricted=restricted,
        purposes=[_purpose(settings, grant, recipients) for grant in grants],
        recipients=[
            Recipient.of(party, relying_party_id=party.id, learns=explanations.LEARNS) for party in recipients.values()
        ],
        proofs=[_proof(settings, consent_id, proof) for consent_id, proof in proofs],
        templates=[TemplateStatus.of(status) for status in templates],
        retention=retention.policy(settings),
        logic=Logic.of(request.engine, engine=card.id, weights_sha256=card.weights_sha256, in_words=explanations.LOGIC),
        rights=explanations.RIGHTS,
        warning=explanations.TEMPLATE_WARNING,
    )


def _purpose(settings: Settings, grant: Grant, recipients: Mapping[UUID, RelyingParty]) -> ActivePurpose:
    return ActivePurpose(
        consent_id=grant.id,
        purpose=grant.purpose,
        in_words=explanations.PURPOSES[grant.purpose],
        relying_party=recipients[grant.relying_party_id].name if grant.relying_party_id else None,
        until=grant.valid_until.isoformat(),
        legal_basis=explanations.LEGAL_BASIS,
        notice=f"{settings.root_path}/v1/notices/{grant.notice_sha256}",
    )


def _proof(settings: Settings, consent_id: UUID, proof: ConsentProof) -> ProofOfConsent:
    kept_until = proof.ended_on and proof.ended_on + settings.proof_retention
    notice = f"{settings.root_path}/v1/notices/{proof.notice_sha256}"
    return ProofOfConsent.of(proof, consent_id=consent_id, notice=notice, kept_until=kept_until)
