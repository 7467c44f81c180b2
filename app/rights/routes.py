"""Routes for access, export, receipts, retention and erasure."""

from dataclasses import replace
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import ConfigDict

from app.kit.errors import NotFoundError
from app.rights import access, access_schema, erasure, examples, export, receipts, retention
from app.rights.tables import Erasure, ErasureStatus, ErasureStep
from app.settings import Settings
from app.subjects import service as subjects
from app.subjects.routes import Me
from app.transparency.verify import vocabulary
from app.transparency.verify.bundle import Bundle
from app.transparency.verify.receipt import KeptItem
from app.vault.vault import Vault
from app.web.auth import DocumentRoute, OpenRoute, PersonRoute
from app.web.callers import Principal
from app.web.dependencies import NO_STORE, PRIVATE, AppEngine, AppLanes, AppSettings, AppVault, Now, Read
from app.web.lanes import in_turns
from app.web.openapi import ResponseBody, Responses, header_refs, media_response, problem_responses, with_examples
from app.web.pagination import DEFAULT_LIMIT, Limit, Page, Position

open_router = APIRouter(prefix="/v1/erasures", tags=["rights"], route_class=OpenRoute)
policy_router = APIRouter(prefix="/v1", tags=["open to all"], route_class=OpenRoute)
document_router = APIRouter(prefix="/v1/me", tags=["rights"], route_class=DocumentRoute)
"""Access, export and receipts: one at a time for each subject."""
router = APIRouter(prefix="/v1/me", tags=["rights"], route_class=PersonRoute)

WithReceipt = Annotated[bool, Query(description="Add a signed receipt of this request, under `receipt`.")]
DOCUMENT = media_response(
    "application/json", "All data about you; its schema is at `/v1/schemas/access`.", shortened=examples.ACCESS
)
SCHEMA = media_response("application/json", "JSON Schema, draft 2020-12.", shortened=examples.ACCESS_SCHEMA)
ARCHIVE = media_response("application/zip", "`mien.json`, `index.html`, `photos/` and `templates/`.")


class KeptOut(KeptItem):
    """Data that remains after an erasure, and the reason."""

    model_config = ConfigDict(extra="ignore")


class ReceiptOut(ResponseBody):
    """One of your receipts."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.RECEIPT))

    receipt_id: UUID
    kind: vocabulary.Kind
    event_time: str
    """To the second, or the day if no finer time is stored."""
    receipt: Bundle


class RuleOut(retention.Rule):
    """One retention rule."""

    model_config = ConfigDict(extra="ignore", json_schema_extra=with_examples(examples.RULE))


class ErasureOut(ResponseBody):
    """The state of an erasure, and the data that remains after it."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.ERASURE))

    erasure_id: UUID
    status: ErasureStatus
    step: ErasureStep
    requested_on: date
    completed_on: date | None
    kept: list[KeptOut]
    receipt: Bundle | None
    """Signed receipt, once the erasure is completed. It does not name you."""


IN_PROGRESS: Responses = {202: {"model": ErasureOut, "description": "In progress", "headers": header_refs("Location")}}


def _check_again(vault: Vault, me: Principal) -> None:
    """Refuse a token that ended while the request waited for its turn.

    Raises:
        UnauthenticatedError: the token ended, or the subject was erased.
    """
    with vault.data.read() as session:
        subjects.get(session, me.id, token_id=me.token_id)


def _show_receipt(receipt: receipts.OwnReceipt) -> ReceiptOut:
    return ReceiptOut(
        receipt_id=receipt.id,
        kind=receipt.content.kind,
        event_time=receipt.content.event.event_time,
        receipt=receipt.bundle,
    )


def _show_erasure(vault: Vault, found: Erasure, settings: Settings, *, now: datetime) -> ErasureOut:
    with vault.data.read() as session:
        kept = erasure.list_kept(session, found, settings, today=now.date())
    receipt = None
    if found.receipt is not None:
        (receipt,) = receipts.add_proofs(vault, [Bundle.model_validate_json(found.receipt)])
    return ErasureOut.of(found, erasure_id=found.id, kept=[item.model_dump() for item in kept], receipt=receipt)


@document_router.get("/access", response_class=StreamingResponse, responses=DOCUMENT)
def get_access_document(
    me: Me,
    vault: AppVault,
    settings: AppSettings,
    engine: AppEngine,
    now: Now,
    lanes: AppLanes,
    receipt: WithReceipt = False,  # noqa: FBT002 - a query parameter
) -> StreamingResponse:
    """See all data about you. One document, as often as you like (GDPR Art. 15)."""
    _check_again(vault, me)
    request = access.AccessRequest(
        vault=vault,
        settings=settings,
        engine=engine,
        subject_id=me.id,
        now=now,
        receipt=receipts.issue_access_receipt(vault, subject_id=me.id, settings=settings, now=now) if receipt else None,
        add_proof=receipts.proofs_at_head(vault),
    )
    access.count_access(request)
    return StreamingResponse(in_turns(access.document(request), lanes), media_type="application/json", headers=NO_STORE)


@document_router.get("/export", response_class=StreamingResponse, responses=ARCHIVE)
def export_data(
    me: Me, vault: AppVault, settings: AppSettings, engine: AppEngine, now: Now, lanes: AppLanes
) -> StreamingResponse:
    """Export all your data.

    A ZIP with the access document, your photos, your templates' numbers, and a page to read (GDPR Art. 20). Keep it
    safe: the numbers can be turned back into a likeness of your face.
    """
    _check_again(vault, me)
    add_proof = receipts.proofs_at_head(vault)
    request = access.AccessRequest(
        vault=vault, settings=settings, engine=engine, subject_id=me.id, now=now, add_proof=add_proof
    )
    access.count_access(request)
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="mien-{now.date()}.zip"'}
    return StreamingResponse(in_turns(export.archive(request), lanes), media_type="application/zip", headers=headers)


@document_router.get("/receipts", dependencies=PRIVATE)
def list_receipts(
    me: Me, session: Read, vault: AppVault, limit: Limit = DEFAULT_LIMIT, after: Position = None
) -> Page[ReceiptOut]:
    """List your receipts. Newest first, each with its proof once it is in the transparency log."""
    subjects.get(session, me.id, token_id=me.token_id)
    key = subjects.key(vault, me.id)
    found = receipts.list_receipts(session, key, subject_id=me.id, limit=limit + 1, before=after)
    proven = receipts.add_proofs(vault, [receipt.bundle for receipt in found])
    shown = [replace(receipt, bundle=bundle) for receipt, bundle in zip(found, proven, strict=True)]
    return Page.cut(shown, limit, out=_show_receipt)


@policy_router.get("/retention-policy")
def list_retention_rules(settings: AppSettings, limit: Limit = DEFAULT_LIMIT, after: Position = None) -> Page[RuleOut]:
    """Read the retention policy. Each kind of data with the reason, the time, and how it ends."""
    rules = list(enumerate(retention.policy(settings), start=1))[after or 0 :]
    return Page.cut(
        rules, limit, key=lambda numbered: numbered[0], out=lambda numbered: RuleOut(**numbered[1].model_dump())
    )


@policy_router.get("/schemas/access", responses=SCHEMA)
def get_access_schema() -> dict[str, Any]:
    """Read the JSON Schema of the access document. For programs that read exports."""
    return access_schema.schema()


@router.delete("", dependencies=PRIVATE, responses=IN_PROGRESS)
def erase_account(
    me: Me, request: Request, response: Response, vault: AppVault, settings: AppSettings, now: Now
) -> ErasureOut:
    """Erase your account and all its data.

    No reason, no waiting period. You are out of matching at once. If a store has not confirmed yet, the answer is 202
    with an address to watch. The data that remains is listed under `kept`.
    """
    found = erasure.erase(vault, subject_id=me.id, settings=settings, now=now)
    if found.status is ErasureStatus.IN_PROGRESS:
        response.status_code = 202
        response.headers["Location"] = f"{request.scope['root_path']}{open_router.prefix}/{found.id}"
    return _show_erasure(vault, found, settings, now=now)


@open_router.get("/{erasure_id}", dependencies=PRIVATE, responses=problem_responses(NotFoundError))
def get_erasure(erasure_id: UUID, vault: AppVault, settings: AppSettings, now: Now) -> ErasureOut:
    """See the state of an erasure. Needs no token, since the account is gone."""
    return _show_erasure(vault, erasure.get(vault, erasure_id=erasure_id), settings, now=now)
