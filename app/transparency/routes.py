"""Public routes of the transparency log and of receipts: keys, checkpoint, proofs, and verification of a receipt."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from app.transparency import examples
from app.transparency.log import service as log
from app.transparency.log import signing_keys
from app.transparency.log.batch import next_batch
from app.transparency.receipts import check
from app.transparency.verify import receipt as receipts
from app.transparency.verify.bundle import Proof
from app.web.auth import OpenRoute
from app.web.dependencies import AppSettings, AppVault, Now
from app.web.openapi import media_response, problem_responses, with_examples

router = APIRouter(tags=["proof"], route_class=OpenRoute)

Leaf = Annotated[
    str,
    Query(
        pattern="^[0-9a-f]{64}$",
        description="The `leaf` of a receipt: 64 hexadecimal digits.",
        examples=[examples.LEAF],
    ),
]
Size = Annotated[int, Query(alias="from", ge=0, le=2**53, description="The size in a checkpoint that you have.")]
NOTE = media_response(
    "text/plain", "A C2SP signed note: the transparency log's name, its size, its root, and a signature."
)
KEYS = media_response("application/json", "A JWK set (RFC 7517).", shortened=examples.JWKS)
SCHEMA = media_response("application/json", "Draft 2020-12 of JSON Schema.", shortened={"title": "Receipt of Mien"})


class InclusionOut(Proof):
    """The proof that a leaf is in the transparency log. Add it to the receipt as `proof`."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.PROOF))


class ConsistencyOut(BaseModel):
    """The proof that the transparency log still begins with the entries that it had at an earlier size."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(examples.CONSISTENCY))

    earlier: int = Field(alias="from")
    size: int
    hashes: list[str]
    """The consistency proof of RFC 6962, in hexadecimal."""
    checkpoint: str
    """The signed checkpoint that the hashes lead to."""


class ReceiptIn(BaseModel):
    """The receipt to verify: the whole bundle as an object, or the text of its file."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=with_examples({"receipt": examples.RECEIPT}))

    receipt: JsonValue


class VerdictOut(BaseModel):
    """Whether a receipt is valid, and the reason."""

    model_config = ConfigDict(json_schema_extra=with_examples(examples.VERDICT))

    valid: bool
    reason: str


@router.get("/.well-known/jwks.json", responses=KEYS)
def get_public_keys(vault: AppVault) -> dict[str, Any]:
    """Read the public keys. The set has also retired keys of receipts and checkpoints: their signatures stay valid."""
    return signing_keys.build_jwks(vault)


@router.get("/v1/log/checkpoint", response_class=Response, responses=NOTE)
def get_checkpoint(vault: AppVault) -> Response:
    """Read the newest checkpoint of the transparency log.

    Keep it: with it you can prove later that the log was not rewritten.
    """
    return Response(log.latest_checkpoint(vault), media_type="text/plain; charset=utf-8")


@router.get("/v1/log/proof", responses=problem_responses(log.LeafNotFoundError))
def prove_inclusion(vault: AppVault, settings: AppSettings, leaf: Leaf, now: Now) -> InclusionOut:
    """Read the proof of an entry in the transparency log.

    The receipt names the leaf of its entry. A new leaf joins the log with the next batch, within the time that the
    receipt promises; until then the answer is `not-found`.
    It says when the next batch is due.
    """
    try:
        return InclusionOut.model_validate(log.prove_inclusion(vault, bytes.fromhex(leaf)).model_dump())
    except log.LeafNotFoundError as error:
        raise log.LeafNotFoundError.until(next_batch(now, settings.log_interval), now=now) from error


@router.get("/v1/log/consistency")
def prove_consistency(vault: AppVault, size: Size) -> ConsistencyOut:
    """Read the proof that the transparency log only grew.

    It shows that the log begins with all entries of an earlier size.
    """
    return ConsistencyOut.model_validate(log.prove_consistency(vault, size))


@router.post("/v1/receipts/verify")
def verify_receipt(body: ReceiptIn, vault: AppVault) -> VerdictOut:
    """Verify a receipt. You can also do this without the service: `mien verify-receipt`, docs/reference/receipts.md."""
    verdict = check.check_receipt(vault, body.receipt)
    return VerdictOut(valid=verdict.valid, reason=verdict.reason)


@router.get("/v1/schemas/receipt", responses=SCHEMA)
def get_receipt_schema() -> dict[str, Any]:
    """Read the schema of a receipt's content. It is a JSON Schema, for programs that read receipts."""
    return receipts.receipt_schema()
