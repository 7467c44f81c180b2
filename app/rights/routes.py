"""Rights over HTTP."""

from dataclasses import asdict
from datetime import date, datetime
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from app.kit.errors import NotFoundError
from app.rights import access, erasure, examples, export, receipts, retention
from app.rights import access_schema as schema
from app.rights.tables import Erasure, ErasureStatus, ErasureStep
from app.settings import Settings
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.transparency.verify import vocabulary
from app.transparency.verify.bundle import Bundle
from app.vault.vault import Vault
from app.web.auth import OpenRoute, PersonRoute
from app.web.dependencies import NO_STORE, PRIVATE, Config, Faces, Now, Read, Transactions
from app.web.openapi import media_response, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

open_router = APIRouter(prefix="/v1/erasures", tags=["rights"], route_class=OpenRoute)
policy_router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)
router = APIRouter(prefix="/v1/me", tags=["rights"], route_class=PersonRoute)


WithReceipt = Annotated[bool, Query(description="With a signed receipt that you asked, under `receipt`.")]
DOCUMENT = media_response(
    "application/json", "Everything held; its schema is at `/v1/schemas/access`.", shortened=examples.ACCESS
)
SCHEMA = media_response("application/json", "Draft 2020-12 of JSON Schema.", shortened=examples.ACCESS_SCHEMA)
ARCHIVE = media_response("application/zip", "`mien.json`, `index.html`, `photos/` and `templates/`.")


class KeptOut(BaseModel):
    """Something that remains, and why."""

    what: str
    holds: str
    why: str


class ReceiptOut(BaseModel):
    """One receipt of yours."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RECEIPT))

    receipt_id: UUID
    kind: vocabulary.Kind
    event_time: str
    """To the second, or the day where no finer time is kept."""
    receipt: Bundle

    @classmethod
    def of(cls, vault: Vault, held: receipts.Held) -> Self:
        """Show *held*."""
        said, bundle = held.said, receipts.with_proof(vault, held.bundle)
        return cls(receipt_id=held.id, kind=said.kind, event_time=said.event.event_time, receipt=bundle)


class RuleOut(BaseModel):
    """One thing that is kept."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.RULE))

    rule: str
    """Its name, for good."""
    what: str
    why: str
    how_long: str
    days: int | None
    """The time that `how_long` names, where time ends it."""
    by: str
    """Who or what ends it."""


class ErasureOut(BaseModel):
    """How far an erasure is, and what remains after it."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.ERASURE))

    erasure_id: UUID
    status: ErasureStatus
    step: ErasureStep
    requested_on: date
    completed_on: date | None
    kept: list[KeptOut]
    receipt: Bundle | None
    """Signed, once it is completed. It names nobody."""

    @classmethod
    def of(cls, vault: Vault, one: Erasure, settings: Settings, *, now: datetime) -> Self:
        """Show *one* erasure."""
        with vault.data.read() as session:
            left = erasure.kept(session, one, settings, today=now.date())
        receipt = None if one.receipt is None else Bundle.model_validate_json(one.receipt)
        return cls(
            erasure_id=one.id,
            status=one.status,
            step=one.step,
            requested_on=one.requested_on,
            completed_on=one.completed_on,
            kept=[KeptOut(what=kept.what, holds=kept.holds, why=kept.why) for kept in left],
            receipt=None if receipt is None else receipts.with_proof(vault, receipt),
        )


@router.get("/access", name="access", response_class=StreamingResponse, responses=DOCUMENT)
def see(
    me: Me,
    vault: Transactions,
    config: Config,
    faces: Faces,
    now: Now,
    receipt: WithReceipt = False,  # noqa: FBT002 - a query parameter
) -> StreamingResponse:
    """See everything that is held about you. In one document, as often as you like (GDPR Art. 15)."""
    issued = receipts.of_access(vault, subject_id=me.id, now=now) if receipt else None
    asked = access.Asked(
        vault=vault,
        settings=config,
        faces=faces,
        subject_id=me.id,
        now=now,
        receipt=issued,
        prove=receipts.prover(vault),
    )
    access.count(asked)
    return StreamingResponse(access.document(asked), media_type="application/json", headers=NO_STORE)


@router.get("/export", name="export", response_class=StreamingResponse, responses=ARCHIVE)
def take(me: Me, vault: Transactions, config: Config, faces: Faces, now: Now) -> StreamingResponse:
    """Take everything with you.

    An archive of the document, your photos, your templates' numbers, and a page to read (GDPR Art. 20). Whoever has the
    numbers can make a likeness of you from them.
    """
    prove = receipts.prover(vault)
    asked = access.Asked(vault=vault, settings=config, faces=faces, subject_id=me.id, now=now, prove=prove)
    access.count(asked)
    named = {**NO_STORE, "Content-Disposition": f'attachment; filename="mien-{now.date()}.zip"'}
    return StreamingResponse(export.archive(asked), media_type="application/zip", headers=named)


@router.get("/receipts", dependencies=PRIVATE)
def my_receipts(
    me: Me, session: Read, vault: Transactions, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[ReceiptOut]:
    """Take your receipts again. Newest first, each with the proof that it is in the log, once it is."""
    key = subjects.key(vault, me.id)
    found = receipts.of(session, key, subject_id=me.id, limit=limit + 1, before=after)
    return Page.cut(found, limit, key=lambda one: one.position, out=lambda one: ReceiptOut.of(vault, one))


@policy_router.get("/retention-policy")
def retention_policy(config: Config, limit: Limit = DEFAULT_LIMIT, after: Position = None) -> Page[RuleOut]:
    """Read the retention policy. What is kept, why, for how long, and by what it ends."""
    rules = list(enumerate(retention.policy(config), start=1))[after or 0 :]
    return Page.cut(
        rules,
        limit,
        key=lambda one: one[0],
        out=lambda one: RuleOut(**asdict(one[1])),
    )


@policy_router.get("/schemas/access", responses=SCHEMA)
def access_schema() -> dict[str, Any]:
    """Read the schema of the access document. JSON Schema, for programs that read what people export."""
    return schema.schema()


@router.delete(
    "", name="erase_me", dependencies=PRIVATE, responses={202: {"model": ErasureOut, "description": "Under way"}}
)
def erase(me: Me, response: Response, vault: Transactions, config: Config, now: Now) -> ErasureOut:
    """Erase yourself.

    No reason, no waiting period. You are out of matching at once; 202 and an address to watch if a store has not
    confirmed yet. What remains is named under `kept`.
    """
    one = erasure.erase(vault, subject_id=me.id, settings=config, now=now)
    if one.status is ErasureStatus.IN_PROGRESS:
        response.status_code = 202
        response.headers["Location"] = f"{open_router.prefix}/{one.id}"
    return ErasureOut.of(vault, one, config, now=now)


@open_router.get("/{erasure_id}", name="erasure", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def state(erasure_id: UUID, vault: Transactions, config: Config, now: Now) -> ErasureOut:
    """See how far an erasure is. Without an account: there is none any more."""
    return ErasureOut.of(vault, erasure.get(vault, erasure_id=erasure_id), config, now=now)
