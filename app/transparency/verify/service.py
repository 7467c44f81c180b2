"""Whether a receipt holds, found out offline: from the bundle, the published keys, and what the holder noted.

It takes anything and answers with a verdict; nothing that a stranger puts into a file makes it raise. In this order:

1. The bundle is JSON, of known members only, none twice.
2. The receipt is a JWS by a key in the key set that is for receipts, with EdDSA, whatever else its header asks for.
3. What was signed is a receipt of the published schema, and salt and payload give the leaf.
4. The promise is by the same key, about this leaf.
5. The proof, if there is one, leads from the leaf to a checkpoint that the log's key signed.
6. A stolen key counts for what the log holds from before the theft, and vouches for nobody.
7. With fingerprints, a key that was not noted counts for nothing, unless a noted one vouches for it.

JSON's spaces and escapes are no part of a value, and may change. Every value is checked, to the last bit.
Who verifies needs nothing of the service: no database, no HTTP, no key of ours (import-linter holds that).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from app.transparency.verify import bundle as bundles
from app.transparency.verify import merkle
from app.transparency.verify import receipt as receipts
from app.transparency.verify.bundle import Bundle, Promise, Proof
from app.transparency.verify.canonical_json import decode_base64url, describe_validation_error, parse_json
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint
from app.transparency.verify.jwks import JwksError, PublicKey
from app.transparency.verify.jwks import parse_jwks as read_keys
from app.transparency.verify.jws import PROMISE_TYPE, RECEIPT_TYPE, JwsError, Token, read_token, verify_token
from app.transparency.verify.receipt import Receipt, ReceiptError

Logged = Literal["no", "promised", "proven"]

SIGNATURE = "\n\N{EM DASH} "
"""What begins a line of a signature in a signed note."""

AGAIN = "get the receipt again from the service, or from your export"
KEYS_AGAIN = "get the key file again from /.well-known/jwks.json"
PROOF_AGAIN = "ask for the proof again at /v1/log/proof?leaf=…, or leave `proof` out"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether a receipt holds, and why."""

    valid: bool
    reason: str
    """Why, and what to do about it."""
    kind: str | None = None
    """What happened; as everything below, None unless the receipt is valid."""
    event_time: str | None = None
    controller: str | None = None
    profile: str | None = None
    kid: str | None = None
    """The key that signed."""
    pinned: bool = False
    """Whether that key was noted by the holder. If not, the key file was believed as it is."""
    logged: Logged = "no"
    log: str | None = None
    """The log that the receipt is in, or was promised to be in."""
    logged_by: str | None = None
    """By when it was promised to be there."""


class _RefusedError(Exception):
    """It does not hold; the text is the reason."""


def verify_receipt(bundle: bytes, *, jwks: bytes, fingerprints: Collection[str] = ()) -> Verdict:
    """Say whether the receipt in *bundle* holds.

    *fingerprints* are thumbprints (RFC 7638) of keys, noted from elsewhere than the key file. Without any, the key
    file is believed as it is, and the verdict says so.
    """
    try:
        return _verified(_bundle(bundle), _keys(jwks), frozenset(fingerprints))
    except _RefusedError as refusal:
        return Verdict(valid=False, reason=str(refusal))


def promised_log(bundle: bytes) -> str | None:
    """Return the log that a bundle says it is in, whether it holds or not; None if it is no bundle."""
    try:
        payload = _bundle(bundle).promise.split(".")[1]
        return Promise.model_validate_json(decode_base64url(payload)).origin
    except (_RefusedError, IndexError, ValueError):
        return None


def _verified(bundle: Bundle, keys: Mapping[str, PublicKey], pins: frozenset[str]) -> Verdict:
    signed = _token(bundle.jws)
    key = _receipts_key(signed, keys)
    payload = _opened(signed, RECEIPT_TYPE, key)
    receipt = _receipt(payload)
    _check_leaf(bundle, payload)
    promise = _promise(bundle, key)
    _check_pinned(key, pins)
    if bundle.proof is not None:
        log_key, checkpoint = _checkpoint(bundle.proof, promise, keys)
        _check_vouched(log_key, promise=promise, key=key, pins=pins)
        _check_inclusion(bundle.proof, checkpoint, bundle.leaf)
    _check_not_stolen(key, bundle.proof)
    return Verdict(
        valid=True,
        reason=_why(pinned=bool(pins), proven=bundle.proof is not None, by=promise.by),
        kind=receipt.kind,
        event_time=receipt.event.event_time,
        controller=receipt.controller,
        profile=receipt.profile,
        kid=key.kid,
        pinned=bool(pins),
        logged="promised" if bundle.proof is None else "proven",
        log=promise.origin,
        logged_by=promise.by,
    )


def _bundle(text: bytes) -> Bundle:
    if len(text) > bundles.MAX_BUNDLE_BYTES:
        raise _RefusedError(f"it is too large to be a receipt; {AGAIN}")
    try:
        parse_json(text)
        return Bundle.model_validate_json(text)
    except ValidationError as error:
        raise _RefusedError(
            f"it is no receipt as Mien hands it over: {describe_validation_error(error)}; {AGAIN}"
        ) from error
    except ValueError as error:
        raise _RefusedError(f"it is no JSON that everybody reads alike ({error}); {AGAIN}") from error


def _keys(jwks: bytes) -> Mapping[str, PublicKey]:
    try:
        return read_keys(jwks)
    except JwksError as error:
        raise _RefusedError(str(error)) from error


def _token(text: str) -> Token:
    try:
        return read_token(text)
    except JwsError as error:
        raise _RefusedError(f"the receipt is no token of Mien: {error}; {AGAIN}") from error


def _receipts_key(signed: Token, keys: Mapping[str, PublicKey]) -> PublicKey:
    key = keys.get(signed.header.kid)
    if key is None:
        raise _RefusedError(f"the key that signed ({signed.header.kid}) is not in the key file; {KEYS_AGAIN}")
    if key.mien_signs != "receipts":
        raise _RefusedError(f"a key that is not for receipts signed it; {AGAIN}")
    return key


def _opened(signed: Token, typ: str, key: PublicKey) -> bytes:
    try:
        return verify_token(signed, typ=typ, key=key.key)
    except JwsError as error:
        raise _RefusedError(
            f"the {'receipt' if typ == RECEIPT_TYPE else 'promise'} does not hold: {error}; {AGAIN}"
        ) from error


def _receipt(payload: bytes) -> Receipt:
    try:
        return receipts.parse_receipt(payload)
    except ReceiptError as error:
        raise _RefusedError(
            f"what was signed is no receipt that this version knows ({error}); verify it with a newer version"
        ) from error


def _check_leaf(bundle: Bundle, payload: bytes) -> None:
    try:
        salt = decode_base64url(bundle.salt)
    except ValueError as error:
        raise _RefusedError(f"the salt is {error}; {AGAIN}") from error
    if merkle.leaf_hash(salt + payload).hex() != bundle.leaf:
        raise _RefusedError(f"salt and receipt do not give the leaf: one of the three was changed; {AGAIN}")


def _promise(bundle: Bundle, key: PublicKey) -> Promise:
    signed = _token(bundle.promise)
    if signed.header.kid != key.kid:
        raise _RefusedError(f"another key signed the promise than the receipt; {AGAIN}")
    payload = _opened(signed, PROMISE_TYPE, key)
    try:
        parse_json(payload)
        promise = Promise.model_validate_json(payload)
    except ValueError as error:
        raise _RefusedError(f"the promise is not one that this version knows; {AGAIN}") from error
    if promise.leaf != bundle.leaf:
        raise _RefusedError(f"the promise is about another leaf; {AGAIN}")
    return promise


def _check_pinned(key: PublicKey, pins: frozenset[str]) -> None:
    if pins and key.kid not in pins:
        raise _RefusedError(
            f"the key that signed ({key.kid}) is none of the fingerprints you gave; believe it only if you learn that "
            "fingerprint from somewhere else than the key file"
        )


def _checkpoint(proof: Proof, promise: Promise, keys: Mapping[str, PublicKey]) -> tuple[PublicKey, Checkpoint]:
    """Return the checkpoint, and the key of the promised log that signed it."""
    if proof.checkpoint.count(SIGNATURE) != 1:
        # Somebody else's signature would be a value that nobody here can check.
        raise _RefusedError(f"a checkpoint in a receipt has one signature, the log's; {PROOF_AGAIN}")
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
            raise _RefusedError(f"the key that signed the checkpoint was stolen; {PROOF_AGAIN}")
        return key, checkpoint
    raise _RefusedError(f"the checkpoint is none of the log {promise.origin}: {reason}; {PROOF_AGAIN}")


def _check_vouched(log_key: PublicKey, *, promise: Promise, key: PublicKey, pins: frozenset[str]) -> None:
    """Refuse a log whose key the holder did not note, unless a key that they noted named it. A stolen one cannot."""
    named = key.revoked is None and promise.log_key == log_key.kid
    if pins and log_key.kid not in pins and not named:
        raise _RefusedError(
            f"the key that signed the checkpoint ({log_key.kid}) is none of the fingerprints you gave, and the receipt "
            "does not vouch for it; give its fingerprint too, if you learn it from somewhere else than the key file"
        )


def _check_inclusion(proof: Proof, checkpoint: Checkpoint, leaf: str) -> None:
    if proof.leaf != leaf:
        raise _RefusedError(f"the proof is about another leaf; {PROOF_AGAIN}")
    path = [bytes.fromhex(one) for one in proof.hashes]
    # The size is the signed one: a root does not say how many leaves are under it.
    if proof.size != checkpoint.size or not merkle.verify_inclusion(
        path, leaf=bytes.fromhex(leaf), index=proof.index, size=checkpoint.size, root=checkpoint.root
    ):
        raise _RefusedError(f"the proof does not lead from the leaf to the checkpoint; {PROOF_AGAIN}")


def _check_not_stolen(key: PublicKey, proof: Proof | None) -> None:
    """Refuse what a thief could have signed: all that was not in the log when the theft was noticed."""
    if key.revoked is None:
        return
    if proof is None:
        raise _RefusedError(
            f"the key that signed ({key.kid}) was stolen: a receipt of it holds only with a proof that the log had it "
            "before; ask at /v1/log/proof?leaf=… and put the answer into the file as `proof`"
        )
    if proof.index >= key.revoked.log_size:
        raise _RefusedError(
            f"the key that signed ({key.kid}) was stolen, and the log had this receipt only after that: it may be "
            "forged; ask the service for a new one"
        )


def _why(*, pinned: bool, proven: bool, by: str) -> str:
    log = "it is in the log" if proven else f"the log is promised to have it by {by}: then ask for its proof"
    keys = (
        "by a key whose fingerprint you gave"
        if pinned
        else "by a key in the key file, which was believed as it is: give a fingerprint to be sure whose it is"
    )
    return f"signed {keys}; unchanged since; {log}"
