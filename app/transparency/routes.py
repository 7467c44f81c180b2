"""The log and receipts over HTTP, for anybody: keys, checkpoint, proofs, and checking a receipt."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.transparency import examples
from app.transparency.log import service as log
from app.transparency.log import signing_keys
from app.transparency.receipts import check as verdicts
from app.transparency.verify import receipt as receipts
from app.transparency.verify.bundle import Proof
from app.web.auth import OpenRoute
from app.web.dependencies import AppVault
from app.web.openapi import media_response, problem_responses, with_examples

well_known_router = APIRouter(prefix="/.well-known", tags=["proof"], route_class=OpenRoute)
log_router = APIRouter(prefix="/v1/log", tags=["proof"], route_class=OpenRoute)
router = APIRouter(prefix="/v1", tags=["proof"], route_class=OpenRoute)

Leaf = Annotated[
    str,
    Query(
        pattern="^[0-9a-f]{64}$", description="As the receipt has it: 64 hexadecimal digits.", examples=[examples.LEAF]
    ),
]
Size = Annotated[int, Query(alias="from", ge=0, le=2**53, description="The size of a checkpoint that you have.")]
NOTE = media_response("text/plain", "A C2SP signed note: the log's name, its size, its root, and a signature.")
KEYS = media_response("application/json", "A JWK set (RFC 7517).", shortened=examples.JWKS)
SCHEMA = media_response("application/json", "Draft 2020-12 of JSON Schema.", shortened={"title": "Receipt of Mien"})


class InclusionOut(Proof):
    """That a leaf is in the log: put it into the receipt, as `proof`."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PROOF))


class ConsistencyOut(BaseModel):
    """That the log still begins with all that it had at an earlier size."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.CONSISTENCY))

    earlier: int = Field(alias="from")
    size: int
    hashes: list[str]
    """As in RFC 6962, in hexadecimal."""
    checkpoint: str
    """What they lead to, signed."""


class ReceiptIn(BaseModel):
    """A receipt to be checked: the whole bundle, as an object, or as the text of its file."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples(examples.VERIFY))

    receipt: JsonValue


class VerdictOut(BaseModel):
    """Whether a receipt holds, and why, or why not."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.VERDICT))

    valid: bool
    reason: str


@well_known_router.get("/jwks.json", responses=KEYS)
def jwks(vault: AppVault) -> dict[str, Any]:
    """Read the public keys. Those that sign receipts and checkpoints, and those that did: what those signed holds."""
    return signing_keys.build_jwks(vault)


@log_router.get("/checkpoint", response_class=Response, responses=NOTE)
def checkpoint(vault: AppVault) -> Response:
    """Read the newest checkpoint of the log. Keep it: whoever has one can tell whether the log was ever rewritten."""
    return Response(log.latest_checkpoint(vault), media_type="text/plain; charset=utf-8")


@log_router.get("/proof", responses=problem_responses(log.LeafNotFoundError))
def proof(vault: AppVault, leaf: Leaf) -> InclusionOut:
    """Read the proof that an entry is in the log.

    By the leaf that its receipt names. A new one joins the log with the next batch, by the time that its receipt
    promises; until then it is not found.
    """
    return InclusionOut.model_validate(log.prove_inclusion(vault, bytes.fromhex(leaf)).model_dump())


@log_router.get("/consistency")
def consistency(vault: AppVault, size: Size) -> ConsistencyOut:
    """Read the proof that nothing was changed. That the log of now begins with all that it had at an earlier size."""
    return ConsistencyOut.model_validate(log.prove_consistency(vault, size))


@router.post("/receipts/verify", name="verify_receipt")
def verify(body: ReceiptIn, vault: AppVault) -> VerdictOut:
    """Check a receipt. Better check it without this service: `mien verify-receipt`, or docs/reference/receipts.md."""
    verdict = verdicts.check_receipt(vault, body.receipt)
    return VerdictOut(valid=verdict.valid, reason=verdict.reason)


@router.get("/schemas/receipt", responses=SCHEMA)
def receipt_schema(_request: Request) -> dict[str, Any]:
    """Read the schema of what a receipt says. JSON Schema, for programs that read receipts."""
    return receipts.receipt_schema()
