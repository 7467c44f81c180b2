"""The keys that are trusted for a receipt. A token cannot choose how it is verified."""

import base64
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from joserfc.errors import UnsupportedAlgorithmError

from app.transparency.verify.jws import ONLY_EDDSA
from tests.transparency.receipt_verification import PAYLOAD, refused, stolen, verdict
from tests.transparency.signed_bundles import ORIGIN, Key, Log, Signer, b64, compact, key_set


def forged(bundle: dict[str, Any], header: dict[str, Any], sign: Callable[[bytes], bytes]) -> dict[str, Any]:
    signed = f"{b64(compact(header))}.{bundle['jws'].split('.')[1]}"
    return {**bundle, "jws": f"{signed}.{b64(sign(signed.encode()))}"}


def test_only_eddsa_is_accepted(signer: Signer) -> None:
    bundle, keys, key = signer.bundle(PAYLOAD), signer.key_set(), signer.key
    pem = key.published()
    head = {"kid": key.kid, "typ": "mien-receipt+jws"}
    secrets = [key.x, b64(key.x).encode(), compact(pem), base64.b64encode(key.x)]

    for alg in ("none", "None", "", "ES256", "Ed25519", "eddsa"):
        assert refused(verdict(forged(bundle, {"alg": alg, **head}, lambda _: b""), keys), "header")
        assert refused(verdict(forged(bundle, {"alg": alg, **head}, key.private.sign), keys), "header")
    for secret in secrets:
        mac = forged(bundle, {"alg": "HS256", **head}, partial(hmac.digest, secret, digest="sha256"))
        assert refused(verdict(mac, keys), "header")


def test_no_other_algorithm_is_known() -> None:
    for name in ("none", "HS256", "Ed25519"):
        with pytest.raises(UnsupportedAlgorithmError):
            ONLY_EDDSA.get_alg(name)


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"jku": "https://example.org/keys"},
        {"x5c": ["MIIB"]},
        {"cty": "json"},
        {"typ": "JWT"},
        {"typ": 1},
        {"kid": None},
    ],
)
def test_a_header_with_other_members_is_refused(signer: Signer, more: dict[str, Any]) -> None:
    head = {"alg": "EdDSA", "kid": signer.key.kid, "typ": "mien-receipt+jws", **more}

    assert not verdict(forged(signer.bundle(PAYLOAD), head, signer.key.private.sign), signer.key_set()).valid


def test_a_key_inside_the_token_is_not_used(signer: Signer) -> None:
    thief, bundle = Key(), signer.bundle(PAYLOAD)
    public = {"kty": "OKP", "crv": "Ed25519", "x": b64(thief.x)}
    head = {"alg": "EdDSA", "typ": "mien-receipt+jws", "jwk": public}

    for kid in (thief.kid, signer.key.kid):
        assert not verdict(forged(bundle, {**head, "kid": kid}, thief.private.sign), signer.key_set()).valid
    assert refused(verdict(Signer(key=thief).bundle(PAYLOAD), signer.key_set()), "not in the key file")
    assert refused(
        verdict({**bundle, "jws": thief.jws(PAYLOAD, "mien-receipt+jws", kid=signer.key.kid)}, signer.key_set()),
        "signature is wrong",
    )


def test_a_key_with_the_name_of_another_is_refused(signer: Signer) -> None:
    thief = Key()
    swapped = key_set({**thief.published(), "kid": signer.key.kid}, signer.log.published())

    assert refused(verdict(signer.bundle(PAYLOAD), swapped), "thumbprint")


def test_other_keys_in_the_key_file_are_ignored(signer: Signer) -> None:
    theirs = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "theirs"}
    keys = json.dumps({"keys": [theirs, signer.key.published(note="x"), signer.log.published()], "more": 1}).encode()

    assert verdict(signer.bundle(PAYLOAD), keys).valid


def test_a_key_with_two_uses_is_refused(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    both = key_set(signer.key.published(), signer.key.published("checkpoints", mien_origin=ORIGIN))
    as_log = Signer(key=signer.log.key, log=Log()).bundle(PAYLOAD)

    assert refused(verdict(bundle, both), "twice")
    assert refused(verdict(as_log, signer.key_set()), "not for receipts")


def test_a_retired_key_is_accepted(signer: Signer) -> None:
    bundle, successor = signer.bundle(PAYLOAD), Key()
    keys = key_set(successor.published(), signer.key.published(exp=1_790_000_001), signer.log.published())

    assert verdict(bundle, keys, signer.key.kid).valid
    assert verdict({**bundle, "proof": None}, keys, signer.key.kid).valid


def test_a_stolen_key_is_accepted_for_leaves_from_before_the_theft(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    index = bundle["proof"]["index"]

    assert verdict(bundle, signer.key_set(**stolen(index + 1))).logged == "proven"
    assert refused(verdict(bundle, signer.key_set(**stolen(index))), "only after that")
    assert refused(verdict(bundle, signer.key_set(**stolen(0))), "only after that")
    assert refused(verdict({**bundle, "proof": None}, signer.key_set(**stolen(index + 1))), "only with a proof")


def test_a_stolen_key_does_not_vouch_for_a_log(signer: Signer) -> None:
    """A thief can make a log of any size, and name its key with the stolen key."""
    bundle = signer.bundle(PAYLOAD)
    keys = signer.key_set(**stolen(1000))

    assert refused(verdict(bundle, keys, signer.key.kid), "does not vouch")
    assert verdict(bundle, keys, signer.key.kid, signer.log.key.kid).valid


@pytest.mark.parametrize("broken", [{"revoked": {}}, {"revoked": 1}, {"revoked": True}, stolen(-1), stolen("7")])
def test_a_malformed_theft_report_refuses_the_key_file(signer: Signer, broken: dict[str, Any]) -> None:
    assert refused(verdict(signer.bundle(PAYLOAD), signer.key_set(**broken)), "key file")


def test_a_checkpoint_of_a_stolen_key_is_refused(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    keys = key_set(signer.key.published(), signer.log.published(**stolen(1000)))

    assert refused(verdict(bundle, keys), "stolen")
    assert verdict({**bundle, "proof": None}, keys).logged == "promised"


def test_with_fingerprints_only_their_keys_are_accepted(signer: Signer) -> None:
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    other = Key()

    assert verdict(bundle, keys, other.kid, signer.key.kid).valid
    assert refused(verdict(bundle, keys, other.kid), "none of the fingerprints")
    assert refused(verdict(bundle, keys, signer.log.key.kid), "none of the fingerprints")
    assert refused(verdict(bundle, keys, ""), "none of the fingerprints")


def test_a_log_key_is_one_of_the_fingerprints_or_named_by_the_receipt(signer: Signer) -> None:
    """The promise names the key before the present one."""
    bundle = signer.bundle(PAYLOAD, log_key=Key().kid)
    keys = signer.key_set()

    assert verdict(bundle, keys).valid
    assert refused(verdict(bundle, keys, signer.key.kid), "does not vouch")
    assert verdict(bundle, keys, signer.key.kid, signer.log.key.kid).valid


def test_a_receipt_of_the_key_for_events_is_refused(signer: Signer) -> None:
    """The key for events signs no receipts, and an event does not pass for a receipt."""
    bundle = signer.bundle(PAYLOAD)
    keys = key_set(signer.key.published("events"), signer.log.published())
    event = {**bundle, "jws": signer.key.jws(PAYLOAD, "mien-event+jws")}

    assert verdict(bundle, signer.key_set()).valid
    assert refused(verdict(bundle, keys), "not for receipts")
    assert refused(verdict(event, keys), "not for receipts")
    assert refused(verdict(event, signer.key_set()), "signed as mien-event")
