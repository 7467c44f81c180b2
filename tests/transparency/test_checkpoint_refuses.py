"""A note with anything changed is refused, a note has one form only, and nothing else is raised."""

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
from tests.transparency.signed_notes import KEY, NOTE, ORIGIN, OTHER, OURS, ROOT, SAID, cosigned, signed


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_any_character_changed_or_left_out_and_it_does_not_open(at: int) -> None:
    others = [chr(ord(NOTE[at]) ^ 1 << bit) for bit in range(7)]
    for new in ["", *others, NOTE[at] * 2, "\ud800"]:
        with pytest.raises(CheckpointError):
            open_checkpoint(NOTE[:at] + new + NOTE[at + 1 :], OURS)


@settings(max_examples=300)
@given(note=st.text() | st.lists(st.sampled_from([*NOTE.split(" "), *NOTE, "\n\n", " "])).map("".join))
def test_any_text_at_all_is_refused_and_raises_nothing_else(note: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(note, OURS)


@pytest.mark.parametrize(
    "vkey", ["", "+", "a+b", "++", OURS.vkey + "=", OURS.vkey[:-1], f"{OURS.vkey}\n", f" {OURS.vkey}"]
)
def test_what_is_no_key_is_not_read_as_one(vkey: str) -> None:
    with pytest.raises(CheckpointError):
        Verifier.from_vkey(vkey)


@pytest.mark.parametrize("at", range(len(OURS.vkey)))
def test_any_bit_of_a_key_changed_and_it_is_none(at: int) -> None:
    for bit in range(8):
        with pytest.raises(CheckpointError):
            Verifier.from_vkey(OURS.vkey[:at] + chr(ord(OURS.vkey[at]) ^ 1 << bit) + OURS.vkey[at + 1 :])


@pytest.mark.parametrize("raw", [b"\x04" + bytes(32), b"\x01" + bytes(31), b"\x01" + bytes(33), b"\x01", b""])
def test_a_key_of_another_type_or_length_is_refused_though_its_id_is_right(raw: bytes) -> None:
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n" + raw).hexdigest()[:8]

    with pytest.raises(CheckpointError, match="Ed25519"):
        Verifier.from_vkey(f"{ORIGIN}+{key_id}+{base64.b64encode(raw).decode()}")


def test_another_key_of_the_same_name_does_not_open_it() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        open_checkpoint(NOTE, Verifier(ORIGIN, OTHER.public_key()))


def test_the_same_key_under_another_name_does_not_open_it() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        open_checkpoint(NOTE, Verifier("mien/another", KEY.public_key()), origin=ORIGIN)


def test_a_checkpoint_of_another_log_by_the_same_key_is_refused() -> None:
    said = Checkpoint("mien/another", SAID.size, SAID.root)

    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(sign_checkpoint(said, name=ORIGIN, private_key=KEY), OURS)
    with pytest.raises(CheckpointError, match="another log"):
        open_checkpoint(NOTE, OURS, origin="mien/another")


def test_others_may_sign_as_well_before_it_and_after() -> None:
    text, _, own = NOTE.rpartition("\n\n")
    before, after = cosigned(["witness.example/1"]), cosigned(["witness.example/2", ORIGIN, "\u05e2\u05d3"])

    assert open_checkpoint(f"{text}\n\n{before}{own}{after}", OURS) == SAID
    assert open_checkpoint(NOTE + cosigned(f"w{number}" for number in range(MAX_SIGNATURES - 1)), OURS) == SAID
    assert open_checkpoint(NOTE + f"— w {base64.b64encode(bytes(5000)).decode()}\n" * 16, OURS) == SAID


def test_who_has_our_key_id_and_another_name_is_another() -> None:
    line = f"— witness {base64.b64encode(OURS.key_id + bytes(64)).decode()}\n"

    assert open_checkpoint(NOTE + line, OURS) == SAID


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_a_second_signature_of_ours_that_does_not_hold_spoils_the_note(length: int) -> None:
    line = f"— {ORIGIN} {base64.b64encode(OURS.key_id + bytes(length)).decode()}\n"

    for sent in (NOTE + line, NOTE.replace("\n\n", f"\n\n{line}")):
        with pytest.raises(CheckpointError, match="not by this key"):
            open_checkpoint(sent, OURS)


NO_SIGNATURES = [
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


@pytest.mark.parametrize("line", NO_SIGNATURES)
def test_a_signature_that_has_not_the_form_is_refused_whosever_it_is(line: str) -> None:
    assert open_checkpoint(NOTE + "— w AAAAAAA=\n", OURS) == SAID
    for sent in (f"{NOTE}{line}\n", NOTE.replace("\n\n", f"\n\n{line}\n"), f"{NOTE}— w AAAAAAA="):
        with pytest.raises(CheckpointError):
            open_checkpoint(sent, OURS)


def test_a_note_has_a_largest_size_and_a_largest_number_of_signatures() -> None:
    with pytest.raises(CheckpointError, match="KiB"):
        open_checkpoint(NOTE + f"— w {base64.b64encode(bytes(MAX_NOTE_BYTES)).decode()}\n", OURS)
    with pytest.raises(CheckpointError, match="signatures"):
        open_checkpoint(NOTE + cosigned(f"w{number}" for number in range(MAX_SIGNATURES)), OURS)


NO_SIZES = ["", "04096", "+1", "-1", "1_0", "1e3", "00", " 1", "1 ", "\u0661", "x", MAX_LEAVES + 1, 10**19, "9" * 5000]
NO_ROOTS = [
    "",
    ROOT[:-1],
    ROOT + "=",
    f"{ROOT} ",
    ROOT[:-5] + "==",
    ROOT[4:],
    *(ROOT[:-2] + one + "=" for one in "BCDFGH"),
]
"""The last six say the bits of a root in a second way, or bits that there are none of."""
NO_LINES = [
    *(f"{ORIGIN}\n1\n", f"{ORIGIN}\n", "\n", f"\n1\n{ROOT}\n", f"{ORIGIN}\n1\n\n{ROOT}\n", f"{ORIGIN}\n1\n{ROOT}\n\n"),
    *(f"{ORIGIN}\r\n1\r\n{ROOT}\r\n", f"{ORIGIN}\n1\n{ROOT}\nmore\n\nand\n", f"{ORIGIN}\n1\n{ROOT}\nmo\tre\n"),
    *(f"{ORIGIN}\n{size}\n{ROOT}\n" for size in NO_SIZES),
    *(f"{ORIGIN}\n1\n{root}\n" for root in NO_ROOTS),
]


@pytest.mark.parametrize("text", NO_LINES)
def test_a_text_that_is_no_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(CheckpointError):
        open_checkpoint(signed(text), OURS)


def test_the_last_empty_line_ends_the_text_and_without_one_there_is_none() -> None:
    assert module._verify_note(signed("one\n\ntwo\n"), OURS) == "one\n\ntwo\n"
    with pytest.raises(CheckpointError, match="an empty line"):
        open_checkpoint(signed("\n").lstrip("\n"), OURS)


def test_lines_after_the_root_are_allowed_and_mean_nothing() -> None:
    assert open_checkpoint(signed(f"{SAID.text}more\nand more\n"), OURS) == SAID


def test_an_error_repeats_nothing_of_what_was_sent() -> None:
    for note in (f"secret\n1\n{ROOT}\n", "secret", f"{ORIGIN}\nsecret\n{ROOT}\n", f"{ORIGIN}\n1\nsecret\n"):
        for sent in (note, signed(note)):
            with pytest.raises(CheckpointError) as refused:
                open_checkpoint(sent, OURS)

            assert "secret" not in str(refused.value)
