"""A sealed value opens in its own place only, with its own key, unchanged."""

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.vault.seal import KEY_BYTES, NONCE_BYTES, Kek, Key, SealError

keys = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)
contexts = st.text(max_size=80)


@given(raw=keys, plain=st.binary(max_size=5000), context=contexts)
def test_sealed_value_opens_in_its_context(raw: bytes, plain: bytes, context: str) -> None:
    sealed = Key(raw).seal(plain, context)

    assert Key(raw).open(sealed, context) == plain
    assert len(sealed) == len(plain) + NONCE_BYTES + 16


@given(raw=keys, plain=st.binary(max_size=200), here=contexts, there=contexts)
def test_value_does_not_open_in_another_context(raw: bytes, plain: bytes, here: str, there: str) -> None:
    sealed = Key(raw).seal(plain, here)
    if here == there:
        assert Key(raw).open(sealed, there) == plain
        return

    with pytest.raises(SealError):
        Key(raw).open(sealed, there)


@given(raw=keys, plain=st.binary(max_size=200), data=st.data())
def test_value_with_one_changed_bit_does_not_open(raw: bytes, plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(Key(raw).seal(plain, "here"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(SealError):
        Key(raw).open(bytes(sealed), "here")


@given(raw=keys, plain=st.binary(max_size=200), length=st.integers(0, 300))
def test_truncated_value_does_not_open(raw: bytes, plain: bytes, length: int) -> None:
    sealed = Key(raw).seal(plain, "here")
    if length >= len(sealed):
        return

    with pytest.raises(SealError):
        Key(raw).open(sealed[:length], "here")


@given(one=keys, other=keys, plain=st.binary(max_size=200))
def test_value_does_not_open_with_another_key(one: bytes, other: bytes, plain: bytes) -> None:
    sealed = Key(one).seal(plain, "here")
    if one == other:
        return

    with pytest.raises(SealError):
        Key(other).open(sealed, "here")


def test_same_value_sealed_twice_differs() -> None:
    key = Key(b"k" * KEY_BYTES)

    assert key.seal(b"same", "here") != key.seal(b"same", "here")


def test_error_and_key_reveal_nothing() -> None:
    key = Key(b"secret-key-bytes-secret-key-byte")
    with pytest.raises(SealError) as refused:
        key.open(b"x" * 60, "subjects.sealed_name:1")

    assert str(refused.value) == ""
    assert "secret" not in repr(key)


def test_wrapped_key_opens_for_its_own_owner_and_generation_only() -> None:
    kek, owner = Kek(b"k" * KEY_BYTES), uuid4()
    wrapped = kek.wrap_new(f"key:grant:{owner}:1")
    sealed = kek.unwrap(wrapped, f"key:grant:{owner}:1").seal(b"x", "here")

    assert kek.unwrap(wrapped, f"key:grant:{owner}:1").open(sealed, "here") == b"x"
    for other in (f"key:grant:{owner}:2", f"key:subject:{owner}:1", f"key:grant:{uuid4()}:1"):
        with pytest.raises(SealError):
            kek.unwrap(wrapped, other)
    with pytest.raises(SealError):
        Kek(b"o" * KEY_BYTES).unwrap(wrapped, f"key:grant:{owner}:1")


def test_a_key_that_is_wrapped_anew_is_the_same_key() -> None:
    old, new = Kek(b"k" * KEY_BYTES), Kek(b"n" * KEY_BYTES)
    wrapped = old.wrap_new("here")
    sealed = old.unwrap(wrapped, "here").seal(b"x", "there")
    again = old.rewrap(wrapped, "here", under=new)

    assert new.unwrap(again, "here").open(sealed, "there") == b"x"
    with pytest.raises(SealError):
        new.unwrap(again, "here").open(Key(bytes(KEY_BYTES)).seal(b"x", "there"), "there")
