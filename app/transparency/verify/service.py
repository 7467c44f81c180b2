"""Verification of a receipt, offline, from the bundle, the published keys and the fingerprints that its holder noted.

`verify_receipt` accepts any bytes, returns a verdict and never raises. It checks in this order:

1. The bundle is JSON with known members only, each named once.
2. The receipt is a JWS with EdDSA, signed by a key for receipts in the key set.
3. Its payload follows the published schema, and salt and payload hash to the leaf.
4. The promise is signed by the same key, and is about this leaf.
5. The proof, if present, leads from the leaf to a checkpoint that the log's key signed.
6. With fingerprints, each key is one of them, or the receipt's key names it.
7. A stolen key counts only for leaves from before the theft, and its word for the log's key does not count.

Spaces and escapes of JSON are not part of a value and may change. Every value is checked to the last bit.
Verification needs no database, HTTP or secret of the service; import-linter holds that.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from app.transparency.verify import merkle
from app.transparency.verify.bundle import MAX_BUNDLE_BYTES, Bundle, Promise, Proof
from app.transparency.verify.canonical_json import decode_base64url, describe_validation_error
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint
from app.transparency.verify.jwks import PublicKey, parse_jwks
from app.transparency.verify.jws import PROMISE_TYPE, RECEIPT_TYPE, ParsedToken, read_token, verify_token
from app.transparency.verify.receipt import parse_receipt

SIGNATURE_MARK = "\n\N{EM DASH} "
"""The beginning of a signature line in a signed note."""

GET_RECEIPT = "get the receipt again from the service, or from your export"
GET_KEYS = "download the key file again from /.well-known/jwks.json"
GET_PROOF = "request the proof again at /v1/log/proof?leaf=…, or leave out `proof`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result of a verification."""

    valid: bool
    reason: str
    """The reason, and the next step for the reader."""
    kind: str | None = None
    """The kind of the receipt. This and all fields below are unset unless the receipt is valid."""
    event_time: str | None = None
    controller: str | None = None
    profile: str | None = None
    kid: str | None = None
    """The key that signed the receipt."""
    pinned: bool = False
    """Whether the caller gave fingerprints. Without any, the key file was trusted as it is."""
    logged: Literal["no", "promised", "proven"] = "no"
    log: str | None = None
    """The transparency log that the receipt is in, or will be in."""
    logged_by: str | None = None
    """The time by which the receipt was promised to be there."""


class _InvalidReceiptError(Exception):
    """The receipt is invalid. The text is the reason."""


def verify_receipt(bundle: bytes, *, jwks: bytes, fingerprints: Collection[str] = ()) -> Verdict:
    """Verify the receipt in *bundle*.

    *fingerprints* are thumbprints (RFC 7638) of keys, noted from another place than the key file. Without any, the key
    file is trusted as it is, and the verdict says so.
    """
    try:
        parsed = _parse_bundle(bundle)
        with _refusing("{}"):
            keys = parse_jwks(jwks)
        return _verify(parsed, keys, frozenset(fingerprints))
    except _InvalidReceiptError as refusal:
        return Verdict(valid=False, reason=str(refusal))


def promised_log(bundle: bytes) -> str | None:
    """Return the log that the promise in *bundle* names, without verification; None if there is none."""
    try:
        payload = _parse_bundle(bundle).promise.split(".")[1]
        return Promise.from_json(decode_base64url(payload)).origin
    except (_InvalidReceiptError, IndexError, ValueError):
        return None


@contextmanager
def _refusing(reason: str) -> Iterator[None]:
    """Turn a ValueError into a refusal, its text in place of the braces in *reason*."""
    try:
        yield
    except ValueError as error:
        raise _InvalidReceiptError(reason.format(error)) from error


def _verify(bundle: Bundle, keys: Mapping[str, PublicKey], fingerprints: frozenset[str]) -> Verdict:
    token = _read_token(bundle.jws)
    key = _receipt_key(token, keys)
    payload = _verify_token(token, RECEIPT_TYPE, key)
    with _refusing("the signed content is not a receipt that this version knows ({}); verify it with a newer version"):
        receipt = parse_receipt(payload)
    _check_leaf(bundle, payload)
    promise = _verify_promise(bundle, key)
    _check_fingerprint(key, fingerprints)
    if bundle.proof is not None:
        log_key, checkpoint = _verify_checkpoint(bundle.proof, promise, keys)
        _check_log_key(log_key, promise=promise, key=key, fingerprints=fingerprints)
        _check_inclusion(bundle.proof, checkpoint, bundle.leaf)
    _check_not_stolen(key, bundle.proof)
    return Verdict(
        valid=True,
        reason=_reason(pinned=bool(fingerprints), proven=bundle.proof is not None, by=promise.by),
        kind=receipt.kind,
        event_time=receipt.event.event_time,
        controller=receipt.controller,
        profile=receipt.profile,
        kid=key.kid,
        pinned=bool(fingerprints),
        logged="promised" if bundle.proof is None else "proven",
        log=promise.origin,
        logged_by=promise.by,
    )


def _parse_bundle(text: bytes) -> Bundle:
    if len(text) > MAX_BUNDLE_BYTES:
        raise _InvalidReceiptError(f"the file is too large to be a receipt; {GET_RECEIPT}")
    try:
        return Bundle.from_json(text)
    except ValidationError as error:
        fault = describe_validation_error(error)
        raise _InvalidReceiptError(f"the file is not a receipt of Mien: {fault}; {GET_RECEIPT}") from error
    except ValueError as error:
        raise _InvalidReceiptError(
            f"the file is not JSON that all programs read alike ({error}); {GET_RECEIPT}"
        ) from error


def _read_token(text: str) -> ParsedToken:
    with _refusing(f"the receipt is not a token of Mien: {{}}; {GET_RECEIPT}"):
        return read_token(text)


def _receipt_key(token: ParsedToken, keys: Mapping[str, PublicKey]) -> PublicKey:
    key = keys.get(token.header.kid)
    if key is None:
        raise _InvalidReceiptError(
            f"the key that signed the receipt ({token.header.kid}) is not in the key file; {GET_KEYS}"
        )
    if key.mien_signs != "receipts":
        raise _InvalidReceiptError(f"the key that signed the receipt is not for receipts; {GET_RECEIPT}")
    return key


def _verify_token(token: ParsedToken, typ: str, key: PublicKey) -> bytes:
    name = "receipt" if typ == RECEIPT_TYPE else "promise"
    with _refusing(f"the {name} is invalid: {{}}; {GET_RECEIPT}"):
        return verify_token(token, typ=typ, key=key.key)


def _check_leaf(bundle: Bundle, payload: bytes) -> None:
    with _refusing(f"the salt is {{}}; {GET_RECEIPT}"):
        salt = decode_base64url(bundle.salt)
    if merkle.leaf_hash(salt + payload).hex() != bundle.leaf:
        raise _InvalidReceiptError(
            f"salt and receipt do not give the leaf: one of the three was changed; {GET_RECEIPT}"
        )


def _verify_promise(bundle: Bundle, key: PublicKey) -> Promise:
    token = _read_token(bundle.promise)
    if token.header.kid != key.kid:
        raise _InvalidReceiptError(f"another key signed the promise than the receipt; {GET_RECEIPT}")
    payload = _verify_token(token, PROMISE_TYPE, key)
    with _refusing(f"the promise is not one that this version knows; {GET_RECEIPT}"):
        promise = Promise.from_json(payload)
    if promise.leaf != bundle.leaf:
        raise _InvalidReceiptError(f"the promise is about another leaf; {GET_RECEIPT}")
    return promise


def _check_fingerprint(key: PublicKey, fingerprints: frozenset[str]) -> None:
    if fingerprints and key.kid not in fingerprints:
        raise _InvalidReceiptError(
            f"the key that signed the receipt ({key.kid}) is none of the fingerprints you gave; trust it only if you "
            "learn that fingerprint from another place than the key file"
        )


def _verify_checkpoint(proof: Proof, promise: Promise, keys: Mapping[str, PublicKey]) -> tuple[PublicKey, Checkpoint]:
    """Return the key of the promised log that signed the checkpoint, and the checkpoint."""
    if proof.checkpoint.count(SIGNATURE_MARK) != 1:
        # A cosignature would be a value that nothing here can verify.
        raise _InvalidReceiptError(f"a checkpoint in a receipt has one signature, that of the log; {GET_PROOF}")
    reason = "its key is not in the key file"
    for key in keys.values():
        if key.mien_origin != promise.origin:
            continue
        try:
            checkpoint = open_checkpoint(proof.checkpoint, Verifier(promise.origin, key.key))
        except CheckpointError as error:
            reason = str(error)
            continue
        if key.revoked is not None:
            raise _InvalidReceiptError(f"the key that signed the checkpoint was stolen; {GET_PROOF}")
        return key, checkpoint
    raise _InvalidReceiptError(f"the checkpoint is none of the log {promise.origin}: {reason}; {GET_PROOF}")


def _check_log_key(log_key: PublicKey, *, promise: Promise, key: PublicKey, fingerprints: frozenset[str]) -> None:
    """Refuse a log key that is not a fingerprint, unless the receipt's key names it and was not stolen."""
    named = key.revoked is None and promise.log_key == log_key.kid
    if fingerprints and log_key.kid not in fingerprints and not named:
        raise _InvalidReceiptError(
            f"the key that signed the checkpoint ({log_key.kid}) is none of the fingerprints you gave, and the receipt "
            "does not vouch for it; give its fingerprint too, if you learn it from another place than the key file"
        )


def _check_inclusion(proof: Proof, checkpoint: Checkpoint, leaf: str) -> None:
    if proof.leaf != leaf:
        raise _InvalidReceiptError(f"the proof is about another leaf; {GET_PROOF}")
    path = [bytes.fromhex(digest) for digest in proof.hashes]
    # The size comes from the signed checkpoint: a root does not fix the number of leaves.
    if proof.size != checkpoint.size or not merkle.verify_inclusion(
        path, leaf=bytes.fromhex(leaf), index=proof.index, size=checkpoint.size, root=checkpoint.root
    ):
        raise _InvalidReceiptError(f"the proof does not lead from the leaf to the checkpoint; {GET_PROOF}")


def _check_not_stolen(key: PublicKey, proof: Proof | None) -> None:
    """Refuse a receipt that a thief could have signed: one that was not in the log when the theft was noticed."""
    if key.revoked is None:
        return
    if proof is None:
        raise _InvalidReceiptError(
            f"the key that signed the receipt ({key.kid}) was stolen: the receipt is valid only with a proof that the "
            "log had it before the theft; request it at /v1/log/proof?leaf=… and add the answer to the file as `proof`"
        )
    if proof.index >= key.revoked.log_size:
        raise _InvalidReceiptError(
            f"the key that signed the receipt ({key.kid}) was stolen, and the receipt joined the log only after that: "
            "it may be forged; ask the service for a new one"
        )


def _reason(*, pinned: bool, proven: bool, by: str) -> str:
    log = (
        "it is in the transparency log"
        if proven
        else f"it is promised to be in the transparency log by {by}: request its proof then"
    )
    keys = (
        "by a key whose fingerprint you gave"
        if pinned
        else "by a key of the key file, which was trusted as it is: give a fingerprint to be sure of the key"
    )
    return f"signed {keys}; unchanged since; {log}"
