"""Which keys count, and that a token has no say in how it is verified."""

import base64
import hmac
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from joserfc.errors import UnsupportedAlgorithmError

from app.transparency.verify.jws import ONLY_EDDSA
from tests.transparency.signed_bundles import ORIGIN, Key, Log, Signer, b64, compact, key_set
from tests.transparency.verdicts import PAYLOAD, refused, stolen, verdict


def forged(bundle: dict[str, Any], header: dict[str, Any], sign: Callable[[bytes], bytes]) -> dict[str, Any]:
    signed = f"{b64(compact(header))}.{bundle['jws'].split('.')[1]}"
    return {**bundle, "jws": f"{signed}.{b64(sign(signed.encode()))}"}


def test_only_eddsa_counts(signer: Signer) -> None:
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
def test_a_header_asks_for_nothing(signer: Signer, more: dict[str, Any]) -> None:
    head = {"alg": "EdDSA", "kid": signer.key.kid, "typ": "mien-receipt+jws", **more}

    assert not verdict(forged(signer.bundle(PAYLOAD), head, signer.key.private.sign), signer.key_set()).valid


def test_a_key_that_the_token_brings_along_is_not_used(signer: Signer) -> None:
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


def test_a_key_is_what_it_is_called(signer: Signer) -> None:
    thief = Key()
    swapped = key_set({**thief.published(), "kid": signer.key.kid}, signer.log.published())

    assert refused(verdict(signer.bundle(PAYLOAD), swapped), "thumbprint")


def test_keys_of_others_are_passed_over(signer: Signer) -> None:
    theirs = {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "theirs"}
    keys = json.dumps({"keys": [theirs, signer.key.published(note="x"), signer.log.published()], "more": 1}).encode()

    assert verdict(signer.bundle(PAYLOAD), keys).valid


def test_one_key_is_published_once_and_signs_one_thing(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    both = key_set(signer.key.published(), signer.key.published("checkpoints", mien_origin=ORIGIN))
    as_log = Signer(key=signer.log.key, log=Log()).bundle(PAYLOAD)

    assert refused(verdict(bundle, both), "twice")
    assert refused(verdict(as_log, signer.key_set()), "not for receipts")


def test_a_retired_key_still_counts(signer: Signer) -> None:
    bundle, successor = signer.bundle(PAYLOAD), Key()
    keys = key_set(successor.published(), signer.key.published(exp=1_790_000_001), signer.log.published())

    assert verdict(bundle, keys, signer.key.kid).valid
    assert verdict({**bundle, "proof": None}, keys, signer.key.kid).valid


def test_a_stolen_key_counts_for_what_was_in_the_log_before(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    index = bundle["proof"]["index"]

    assert verdict(bundle, signer.key_set(**stolen(index + 1))).logged == "proven"
    assert refused(verdict(bundle, signer.key_set(**stolen(index))), "only after that")
    assert refused(verdict(bundle, signer.key_set(**stolen(0))), "only after that")
    assert refused(verdict({**bundle, "proof": None}, signer.key_set(**stolen(index + 1))), "only with a proof")


def test_a_stolen_key_vouches_for_no_log(signer: Signer) -> None:
    """A thief makes a log of their own, of any size, and has the stolen key name it."""
    bundle = signer.bundle(PAYLOAD)
    keys = signer.key_set(**stolen(1000))

    assert refused(verdict(bundle, keys, signer.key.kid), "does not vouch")
    assert verdict(bundle, keys, signer.key.kid, signer.log.key.kid).valid


@pytest.mark.parametrize("broken", [{"revoked": {}}, {"revoked": 1}, {"revoked": True}, stolen(-1), stolen("7")])
def test_a_theft_that_cannot_be_read_is_no_theft_forgotten(signer: Signer, broken: dict[str, Any]) -> None:
    assert refused(verdict(signer.bundle(PAYLOAD), signer.key_set(**broken)), "key file")


def test_a_stolen_key_of_the_log_proves_nothing(signer: Signer) -> None:
    bundle = signer.bundle(PAYLOAD)
    keys = key_set(signer.key.published(), signer.log.published(**stolen(1000)))

    assert refused(verdict(bundle, keys), "stolen")
    assert verdict({**bundle, "proof": None}, keys).logged == "promised"


def test_only_keys_that_were_noted_count(signer: Signer) -> None:
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    other = Key()

    assert verdict(bundle, keys, other.kid, signer.key.kid).valid
    assert refused(verdict(bundle, keys, other.kid), "none of the fingerprints")
    assert refused(verdict(bundle, keys, signer.log.key.kid), "none of the fingerprints")
    assert refused(verdict(bundle, keys, ""), "none of the fingerprints")


def test_a_log_key_is_noted_or_named_by_a_noted_key(signer: Signer) -> None:
    """A new key of the log is no longer the one that the promise names."""
    bundle = signer.bundle(PAYLOAD, log_key=Key().kid)
    keys = signer.key_set()

    assert verdict(bundle, keys).valid
    assert refused(verdict(bundle, keys, signer.key.kid), "does not vouch")
    assert verdict(bundle, keys, signer.key.kid, signer.log.key.kid).valid


def test_a_receipt_that_the_key_for_events_signed_is_refused(signer: Signer) -> None:
    """Each key does what it is for: that of events signs no receipts, and no event passes for one."""
    bundle = signer.bundle(PAYLOAD)
    keys = key_set(signer.key.published("events"), signer.log.published())
    event = {**bundle, "jws": signer.key.jws(PAYLOAD, "mien-event+jws")}

    assert verdict(bundle, signer.key_set()).valid
    assert refused(verdict(bundle, keys), "not for receipts")
    assert refused(verdict(event, keys), "not for receipts")
    assert refused(verdict(event, signer.key_set()), "signed as mien-event")
