"""A changed note is refused, a note has one form only, and no other error is raised."""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.transparency.verify import checkpoint as module
from app.transparency.verify.checkpoint import (
    MAX_NOTE_BYTES,
    MAX_SIGNATURES,
    Checkpoint,
    CheckpointError,
    Verifier,
    open_checkpoint,
    sign_checkpoint,
)
from app.transparency.verify.merkle import MAX_LEAVES
from tests.transparency.signed_notes import CHECKPOINT, KEY, NOTE, ORIGIN, OTHER_KEY, OURS, ROOT, cosigned, signed


def is_refused(note: str) -> bool:
    try:
        open_checkpoint(note, OURS)
    except CheckpointError:
        return True
    return False


def test_a_note_with_a_changed_or_missing_character_is_refused() -> None:
    assert not is_refused(NOTE)
    for at, char in enumerate(NOTE):
        others = [chr(ord(char) ^ 1 << bit) for bit in range(7)]
        for new in ["", *others, char * 2, "\ud800"]:
            assert is_refused(NOTE[:at] + new + NOTE[at + 1 :]), (at, new)


@settings(max_examples=150)
@given(note=st.text() | st.lists(st.sampled_from([*NOTE.split(" "), *NOTE, "\n\n", " "])).map("".join))
def test_any_other_text_is_refused(note: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(note, OURS)


@pytest.mark.parametrize(
    "vkey", ["", "+", "a+b", "++", OURS.vkey + "=", OURS.vkey[:-1], f"{OURS.vkey}\n", f" {OURS.vkey}"]
)
def test_a_malformed_key_line_is_refused(vkey: str) -> None:
    with pytest.raises(CheckpointError):
        Verifier.from_vkey(vkey)


def test_a_key_line_with_a_changed_bit_is_refused() -> None:
    for at, char in enumerate(OURS.vkey):
        for bit in range(8):
            with pytest.raises(CheckpointError):
                Verifier.from_vkey(OURS.vkey[:at] + chr(ord(char) ^ 1 << bit) + OURS.vkey[at + 1 :])


@pytest.mark.parametrize("raw", [b"\x04" + bytes(32), b"\x01" + bytes(31), b"\x01" + bytes(33), b"\x01", b""])
def test_a_key_of_another_type_or_length_is_refused_despite_its_correct_id(raw: bytes) -> None:
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n" + raw).hexdigest()[:8]

    with pytest.raises(CheckpointError, match="Ed25519"):
        Verifier.from_vkey(f"{ORIGIN}+{key_id}+{base64.b64encode(raw).decode()}")


def test_another_key_with_the_same_name_does_not_open_the_note() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        open_checkpoint(NOTE, Verifier(ORIGIN, OTHER_KEY.public_key()))


def test_the_same_key_under_another_name_does_not_open_the_note() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        open_checkpoint(NOTE, Verifier("mien/another", KEY.public_key()), origin=ORIGIN)


def test_a_checkpoint_of_another_log_by_the_same_key_is_refused() -> None:
    other = Checkpoint("mien/another", CHECKPOINT.size, CHECKPOINT.root)

    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(sign_checkpoint(other, name=ORIGIN, private_key=KEY), OURS)
    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(NOTE, OURS, origin="mien/another")


def test_cosignatures_may_come_before_and_after_the_signature() -> None:
    text, _, own = NOTE.rpartition("\n\n")
    before, after = cosigned(["witness.example/1"]), cosigned(["witness.example/2", ORIGIN, "\u05e2\u05d3"])

    assert open_checkpoint(f"{text}\n\n{before}{own}{after}", OURS) == CHECKPOINT
    assert open_checkpoint(NOTE + cosigned(f"w{number}" for number in range(MAX_SIGNATURES - 1)), OURS) == CHECKPOINT
    assert open_checkpoint(NOTE + f"— w {base64.b64encode(bytes(5000)).decode()}\n" * 16, OURS) == CHECKPOINT


def test_a_line_with_our_key_id_and_another_name_is_a_cosignature() -> None:
    line = f"— witness {base64.b64encode(OURS.key_id + bytes(64)).decode()}\n"

    assert open_checkpoint(NOTE + line, OURS) == CHECKPOINT


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_a_second_invalid_signature_of_our_key_refuses_the_note(length: int) -> None:
    line = f"— {ORIGIN} {base64.b64encode(OURS.key_id + bytes(length)).decode()}\n"

    for sent in (NOTE + line, NOTE.replace("\n\n", f"\n\n{line}")):
        with pytest.raises(CheckpointError, match="not by this key"):
            open_checkpoint(sent, OURS)


MALFORMED_LINES = [
    *(
        "",
        " ",
        "\t",
        "\x00",
        "- w AAAAAAA=",
        "w AAAAAAA=",
        "— w",
        "— w ",
        "—  AAAAAAA=",
        "— w+ AAAAAAA=",
        "— w\u00a0w AAAAAAA=",
    ),
    *(
        "— w AAAAAA==",
        "— w AAAAAAB=",
        "— w AAAAAAA",
        "— w AAAA_AA=",
        "— w AAAA AAA=",
        "— w \u0661AAAAAA=",
        "— w AAAAAAA=\r",
    ),
    *("— w AAAAAAA= ", " — w AAAAAAA=", "— w AAAAAAA=\n"),
]


def test_a_note_with_a_malformed_signature_line_is_refused() -> None:
    assert open_checkpoint(NOTE + "— w AAAAAAA=\n", OURS) == CHECKPOINT
    assert is_refused(f"{NOTE}— w AAAAAAA=")
    for line in MALFORMED_LINES:
        assert is_refused(f"{NOTE}{line}\n"), line
        assert is_refused(NOTE.replace("\n\n", f"\n\n{line}\n")), line


def test_the_size_and_the_number_of_signatures_are_limited() -> None:
    with pytest.raises(CheckpointError, match="KiB"):
        open_checkpoint(NOTE + f"— w {base64.b64encode(bytes(MAX_NOTE_BYTES)).decode()}\n", OURS)
    with pytest.raises(CheckpointError, match="signatures"):
        open_checkpoint(NOTE + cosigned(f"w{number}" for number in range(MAX_SIGNATURES)), OURS)


MALFORMED_SIZES = [
    "",
    "04096",
    "+1",
    "-1",
    "1_0",
    "1e3",
    "00",
    " 1",
    "1 ",
    "\u0661",
    "x",
    MAX_LEAVES + 1,
    10**19,
    "9" * 5000,
]
MALFORMED_ROOTS = [
    "",
    ROOT[:-1],
    ROOT + "=",
    f"{ROOT} ",
    ROOT[:-5] + "==",
    ROOT[4:],
    *(ROOT[:-2] + char + "=" for char in "BCDFGH"),
]
"""The last six spell a root in a second way, or set unused bits."""
MALFORMED_TEXTS = [
    *(f"{ORIGIN}\n1\n", f"{ORIGIN}\n", "\n", f"\n1\n{ROOT}\n", f"{ORIGIN}\n1\n\n{ROOT}\n", f"{ORIGIN}\n1\n{ROOT}\n\n"),
    *(f"{ORIGIN}\r\n1\r\n{ROOT}\r\n", f"{ORIGIN}\n1\n{ROOT}\nmore\n\nand\n", f"{ORIGIN}\n1\n{ROOT}\nmo\tre\n"),
    *(f"{ORIGIN}\n{size}\n{ROOT}\n" for size in MALFORMED_SIZES),
    *(f"{ORIGIN}\n1\n{root}\n" for root in MALFORMED_ROOTS),
]


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    for text in MALFORMED_TEXTS:
        assert is_refused(signed(text)), text


def test_the_last_empty_line_ends_the_text_and_a_note_without_one_is_refused() -> None:
    assert module._verify_note(signed("one\n\ntwo\n"), OURS) == "one\n\ntwo\n"
    with pytest.raises(CheckpointError, match="an empty line"):
        open_checkpoint(signed("\n").lstrip("\n"), OURS)


def test_lines_after_the_root_are_ignored() -> None:
    assert open_checkpoint(signed(f"{CHECKPOINT.text}more\nand more\n"), OURS) == CHECKPOINT


def test_an_error_quotes_no_input() -> None:
    for note in (f"secret\n1\n{ROOT}\n", "secret", f"{ORIGIN}\nsecret\n{ROOT}\n", f"{ORIGIN}\n1\nsecret\n"):
        for sent in (note, signed(note)):
            with pytest.raises(CheckpointError) as refused:
                open_checkpoint(sent, OURS)

            assert "secret" not in str(refused.value)
