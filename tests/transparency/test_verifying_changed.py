"""A receipt with any change is invalid, and no file makes the verifier raise an error."""

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transparency.receipt_verification import FIXED, GOOD, KEYS, PAYLOAD, refused, verdict
from tests.transparency.signed_bundles import ORIGIN, Signer, b64, key_set


def strings(value: Any, *path: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Yield every string in a bundle with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings(inner, *path, step)


def put(bundle: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """Return a bundle with another value at *path*."""
    changed = deepcopy(bundle)
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return changed


def test_any_changed_byte_fails(signer: Signer) -> None:
    """One bit in every byte of every string. The position of the bit varies from byte to byte."""
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    assert verdict(bundle, keys).valid
    tried = 0

    for path, text in strings(bundle):
        content = text.encode()
        for at in range(len(content)):
            flipped = bytes([*content[:at], content[at] ^ (1 << at % 8), *content[at + 1 :]])
            raw = json.dumps(put(bundle, path, "HERE")).encode().replace(b"HERE", _escaped(flipped))
            tried += 1

            assert not verdict(raw, keys).valid, (path, at)

    assert tried > 2000


def _escaped(content: bytes) -> bytes:
    """Escape for JSON the bytes that need it."""
    return b"".join(rb"\u%04x" % byte if byte < 0x20 or byte in b'"\\' else bytes([byte]) for byte in content)


def test_the_last_character_of_base64_has_no_second_spelling(signer: Signer) -> None:
    """The unused bits of the last character must be 0."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()

    for name in ("jws", "salt", "promise"):
        text = bundle[name]
        for other in set(alphabet) - {text[-1]}:
            assert not verdict({**bundle, name: text[:-1] + other}, keys).valid


def test_any_changed_number_or_path_fails(signer: Signer) -> None:
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    proof = bundle["proof"]
    numbers = [(name, proof[name] + by) for name in ("index", "size") for by in (*range(-12, 0), *range(1, 40), 2**62)]
    right = proof["hashes"]
    paths = [right[:-1], right[1:], right[::-1], [*right, right[0]], [], [*right, "00" * 32], right * 30]

    for name, value in [*numbers, *(("hashes", hashes) for hashes in paths)]:
        assert refused(verdict({**bundle, "proof": {**proof, name: value}}, keys), "proof"), (name, value)


def test_spaces_and_escapes_of_json_may_change(signer: Signer) -> None:
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    spaced = json.dumps(bundle, indent=3).replace("mien", "\\u006dien").encode()

    assert verdict(spaced, keys).valid


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda bundle: {**bundle, "note": "mine"}, "note"),
        (lambda bundle: {**bundle, "\x1b[2J": "mine"}, "a member: Extra inputs"),
        (lambda bundle: {**bundle, "proof": {**bundle["proof"], "note": "mine"}}, "note"),
        (lambda bundle: {name: bundle[name] for name in bundle if name != "salt"}, "salt"),
        (lambda bundle: {name: bundle[name] for name in bundle if name != "promise"}, "promise"),
        (lambda bundle: {**bundle, "leaf": bundle["leaf"].upper()}, "leaf"),
        (lambda bundle: {**bundle, "leaf": "0" * 64}, "do not give the leaf"),
        (lambda bundle: {**bundle, "salt": b64(bytes(32))}, "do not give the leaf"),
        (lambda bundle: {**bundle, "proof": {**bundle["proof"], "index": "1"}}, "index"),
        (lambda bundle: {**bundle, "proof": {**bundle["proof"], "index": True}}, "index"),
        (lambda bundle: {**bundle, "proof": {**bundle["proof"], "index": 1.0}}, "index"),
        (lambda bundle: {**bundle, "proof": {**bundle["proof"], "leaf": "0" * 64}}, "another leaf"),
        (lambda bundle: {**bundle, "jws": bundle["promise"]}, "signed as mien-promise"),
        (lambda bundle: {**bundle, "promise": bundle["jws"]}, "signed as mien-receipt"),
        (lambda bundle: {**bundle, "jws": bundle["jws"] + "."}, "not a compact JWS"),
        (lambda bundle: {**bundle, "jws": bundle["jws"] + "="}, "cannot be read"),
        (lambda bundle: {**bundle, "jws": "\N{LATIN SMALL LETTER E WITH ACUTE}." + bundle["jws"]}, "not a compact JWS"),
    ],
)
def test_a_malformed_bundle_is_refused_with_its_fault(
    signer: Signer, change: Callable[[Any], Any], reason: str
) -> None:
    assert refused(verdict(change(signer.bundle(PAYLOAD)), signer.key_set()), reason)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"7",
        b'"x"',
        b"[]",
        b"{}",
        b"{",
        b"NaN",
        b'{"leaf": NaN}',
        b"[" * 500_000,
        b'{"a":' * 100_000,
        b"1" * 100_000,
        b'{"proof": {"index": ' + b"9" * 5000 + b"}}",
        b'{"jws": "\\ud800"}',
        b'{"jws": "", "jws": ""}',
        b" " * (2 * 1024 * 1024),
    ],
    ids=range(17),
)
def test_no_file_raises_an_error(signer: Signer, text: bytes) -> None:
    assert not verdict(text, signer.key_set()).valid
    assert not verdict(signer.bundle(PAYLOAD), text).valid


def test_a_member_named_twice_is_refused(signer: Signer) -> None:
    text = json.dumps(signer.bundle(PAYLOAD))
    twice = '{"leaf": "' + "0" * 64 + '", ' + text[1:]

    assert refused(verdict(twice.encode(), signer.key_set()), "named twice")


def test_nothing_signed_names_a_member_twice(signer: Signer) -> None:
    """Not even by the right key: readers differ in which of the two they take."""
    bundle, keys, key = signer.bundle(PAYLOAD), signer.key_set(), signer.key
    receipt = PAYLOAD[:-1] + b',"profile":"live"}'
    said = base64.urlsafe_b64decode(bundle["promise"].split(".")[1] + "==")
    promise = key.jws(said[:-1] + b',"origin":"' + ORIGIN.encode() + b'"}', "mien-promise+jws")
    head = b'{"alg":"none","alg":"EdDSA","kid":"' + key.kid.encode() + b'","typ":"mien-receipt+jws"}'
    signed = f"{b64(head)}.{b64(PAYLOAD)}"

    assert refused(verdict(signer.bundle(receipt), keys), "named twice")
    assert refused(verdict({**bundle, "promise": promise}, keys), "promise is not one")
    assert refused(
        verdict({**bundle, "jws": f"{signed}.{b64(key.private.sign(signed.encode()))}"}, keys), "cannot be read"
    )


def test_a_file_that_is_too_large_is_refused(signer: Signer) -> None:
    assert refused(verdict(json.dumps(signer.bundle(PAYLOAD)).encode() + b" " * 1024 * 1024, KEYS), "too large")
    assert refused(verdict(signer.bundle(PAYLOAD), signer.key_set() + b" " * 4 * 1024 * 1024), "too large")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(name=st.sampled_from(sorted(GOOD)), inner=st.sampled_from(["", *sorted(GOOD["proof"])]), value=JSON)
def test_no_value_raises_an_error(name: str, inner: str, value: Any) -> None:
    changed = put(GOOD, ("proof", inner) if inner else (name,), value)

    assert verdict(changed, KEYS).valid == (changed in (GOOD, {**GOOD, "proof": None}))


@given(st.binary())
def test_no_bytes_raise_an_error(text: bytes) -> None:
    assert not verdict(text, KEYS).valid
    assert not verdict(GOOD, text).valid


@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), JSON), payload=st.binary())
def test_no_token_raises_an_error(header: dict[str, Any], payload: bytes) -> None:
    head = {"alg": "EdDSA", "kid": FIXED.key.kid, "typ": "mien-receipt+jws", **header}
    signed = f"{b64(json.dumps(head).encode())}.{b64(payload)}"
    token = f"{signed}.{b64(FIXED.key.private.sign(signed.encode()))}"

    assert not verdict({**GOOD, "jws": token}, KEYS).valid
    assert not verdict({**GOOD, "promise": token}, KEYS).valid


@given(name=st.sampled_from(sorted(FIXED.key.published())), value=JSON)
def test_no_key_raises_an_error(name: str, value: Any) -> None:
    published = FIXED.key.published()
    keys = key_set({**published, name: value}, FIXED.log.published())
    harmless = name == "iat" and type(value) is int and value >= 0

    assert verdict(GOOD, keys).valid == (harmless or value == published[name])
