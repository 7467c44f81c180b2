"""Whatever is changed in a receipt, it does not hold; and whatever is in a file, nothing is raised."""

import base64
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transparency.signed_bundles import ORIGIN, Signer, b64, key_set
from tests.transparency.verdicts import FIXED, GOOD, KEYS, PAYLOAD, refused, verdict


def strings(value: Any, *way: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every string in a bundle, and the way to it."""
    if isinstance(value, str):
        yield way, value
    elif isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from strings(inner, *way, step)


def put(bundle: dict[str, Any], way: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = deepcopy(bundle)
    place: Any = changed
    for step in way[:-1]:
        place = place[step]
    place[way[-1]] = value
    return changed


def test_any_changed_byte_fails(signer: Signer) -> None:
    """Every byte of every string, one bit each; the bit moves along, so that each is met in each string."""
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    assert verdict(bundle, keys).valid
    tried = 0

    for way, text in strings(bundle):
        content = text.encode()
        for at in range(len(content)):
            flipped = bytes([*content[:at], content[at] ^ (1 << at % 8), *content[at + 1 :]])
            raw = json.dumps(put(bundle, way, "HERE")).encode().replace(b"HERE", _escaped(flipped))
            tried += 1

            assert not verdict(raw, keys).valid, (way, at)

    assert tried > 2000


def _escaped(content: bytes) -> bytes:
    """As it stands in JSON: what is no UTF-8 stays as it is."""
    return b"".join(rb"\u%04x" % one if one < 0x20 or one in b'"\\' else bytes([one]) for one in content)


def test_the_last_character_of_base64_has_no_second_spelling(signer: Signer) -> None:
    """Bits that decode to nothing: what a lenient reader would not notice."""
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
    hashes = proof["hashes"]
    paths = [hashes[:-1], hashes[1:], hashes[::-1], [*hashes, hashes[0]], [], [*hashes, "00" * 32], hashes * 30]

    for name, value in [*numbers, *(("hashes", one) for one in paths)]:
        assert refused(verdict({**bundle, "proof": {**proof, name: value}}, keys), "proof"), (name, value)


def test_spaces_and_escapes_are_no_part_of_a_value(signer: Signer) -> None:
    bundle, keys = signer.bundle(PAYLOAD), signer.key_set()
    spaced = json.dumps(bundle, indent=3).replace("mien", "\\u006dien").encode()

    assert verdict(spaced, keys).valid


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: {**one, "note": "mine"}, "note"),
        (lambda one: {**one, "\x1b[2J": "mine"}, "a member: Extra inputs"),
        (lambda one: {**one, "proof": {**one["proof"], "note": "mine"}}, "note"),
        (lambda one: {name: one[name] for name in one if name != "salt"}, "salt"),
        (lambda one: {name: one[name] for name in one if name != "promise"}, "promise"),
        (lambda one: {**one, "leaf": one["leaf"].upper()}, "leaf"),
        (lambda one: {**one, "leaf": "0" * 64}, "do not give the leaf"),
        (lambda one: {**one, "salt": b64(bytes(32))}, "do not give the leaf"),
        (lambda one: {**one, "proof": {**one["proof"], "index": "1"}}, "index"),
        (lambda one: {**one, "proof": {**one["proof"], "index": True}}, "index"),
        (lambda one: {**one, "proof": {**one["proof"], "index": 1.0}}, "index"),
        (lambda one: {**one, "proof": {**one["proof"], "leaf": "0" * 64}}, "another leaf"),
        (lambda one: {**one, "jws": one["promise"]}, "signed as mien-promise"),
        (lambda one: {**one, "promise": one["jws"]}, "signed as mien-receipt"),
        (lambda one: {**one, "jws": one["jws"] + "."}, "not a compact JWS"),
        (lambda one: {**one, "jws": one["jws"] + "="}, "cannot be read"),
        (lambda one: {**one, "jws": "\N{LATIN SMALL LETTER E WITH ACUTE}." + one["jws"]}, "not a compact JWS"),
    ],
)
def test_what_is_no_bundle_says_so(signer: Signer, change: Callable[[Any], Any], reason: str) -> None:
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
def test_no_file_makes_it_raise(signer: Signer, text: bytes) -> None:
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


def test_what_is_too_large_is_not_read(signer: Signer) -> None:
    assert refused(verdict(json.dumps(signer.bundle(PAYLOAD)).encode() + b" " * 1024 * 1024, KEYS), "too large")
    assert refused(verdict(signer.bundle(PAYLOAD), signer.key_set() + b" " * 4 * 1024 * 1024), "too large")


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5)


@given(name=st.sampled_from(sorted(GOOD)), inner=st.sampled_from(["", *sorted(GOOD["proof"])]), value=JSON)
def test_no_value_makes_it_raise(name: str, inner: str, value: Any) -> None:
    changed = put(GOOD, ("proof", inner) if inner else (name,), value)

    assert verdict(changed, KEYS).valid == (changed in (GOOD, {**GOOD, "proof": None}))


@given(st.binary())
def test_no_bytes_make_it_raise(text: bytes) -> None:
    assert not verdict(text, KEYS).valid
    assert not verdict(GOOD, text).valid


@given(header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64"]), JSON), payload=st.binary())
@settings(max_examples=200)
def test_no_token_makes_it_raise(header: dict[str, Any], payload: bytes) -> None:
    head = {"alg": "EdDSA", "kid": FIXED.key.kid, "typ": "mien-receipt+jws", **header}
    signed = f"{b64(json.dumps(head).encode())}.{b64(payload)}"
    token = f"{signed}.{b64(FIXED.key.private.sign(signed.encode()))}"

    assert not verdict({**GOOD, "jws": token}, KEYS).valid
    assert not verdict({**GOOD, "promise": token}, KEYS).valid


@given(name=st.sampled_from(sorted(FIXED.key.published())), value=JSON)
def test_no_key_makes_it_raise(name: str, value: Any) -> None:
    published = FIXED.key.published()
    keys = key_set({**published, name: value}, FIXED.log.published())
    harmless = name == "iat" and type(value) is int and value >= 0

    assert verdict(GOOD, keys).valid == (harmless or value == published[name])
