"""A checkpoint opens with its key, as it was signed and in one form only; notes that others published among them."""

import base64
import hashlib
from collections.abc import Iterable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from app.ledger import checkpoint as module
from app.ledger.checkpoint import LONGEST, MOST_SIGNATURES, Checkpoint, CheckpointError, Verifier, opened, sign
from app.ledger.merkle import EMPTY_ROOT, LARGEST, leaf_hash

ORIGIN = "mien/3f8e6a52-7f0c-4d59-9d0a-2c1b8f4e7a60"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
OURS = Verifier(ORIGIN, KEY.public_key())
SAID = Checkpoint(ORIGIN, 4096, leaf_hash(b"root"))
ROOT = base64.b64encode(SAID.root).decode()
NOTE = sign(SAID, name=ORIGIN, private_key=KEY)


def signed(text: str) -> str:
    """Sign any text at all with our key."""
    return module._signed(text, name=ORIGIN, private_key=KEY)


def cosigned(names: Iterable[str], key: Ed25519PrivateKey = OTHER) -> str:
    """Give the lines that others sign our checkpoint with."""
    return "".join(module._signed(SAID.text, name=name, private_key=key).rpartition("\n\n")[2] for name in names)


# --- What others published.

GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_LOG = "go.sum database tree"
GO_2026 = """go.sum database tree
65664258
WVVNVD2qx+fTq31zkj6UAqxT5X6HvGphGM+o8Thnbsg=

— sum.golang.org Az3grligJmgX7KGyGPKybykNTh3VgsbLvUuvOwrM5zLVlulmFp2wdvbxOw74/gcNxURShXEpb7RXcs3+BYflYN+w0gQ=
"""
"""The checkpoint of the checksum database of Go, and an older one that a witness had signed twice as well."""
GO_2023 = """go.sum database tree
15081221
BoMMe1wd25Tco0mYGROkyqxHZWx+hcSCtMV315Lu6Lg=

— sum.golang.org Az3grilD7vQqTrv66jRgKM84Y80KTprrSt4bKmiOPxgmS5ZVBTeCl6dUvjYnN13R+C8j0jGY1WnUADGMkok3U0m2Zgo=
— test.example.com qTGhC3917mAr6hGh+T55tNjxaej/D/GQivJZRIj7XGdAcQOTqfMWIPgp/v/904LEduN/h2sSRtHUJXUL4b9Gm7Bz4Qc=
— test.example.com /Pa7Y/dUvWMAAAAAQVwkQVi81ArPV7BIaQYrMIxyzY0m8a4BdeeBhSKd3PviPK4/3Sd+NKSc5N7PDTCfAkUSVniN+R2oKIggA4iiDQ==
"""  # noqa: E501

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_KEY = Ed25519PrivateKey.from_private_bytes(base64.b64decode("gQoUAtUUbI2E8kQzMPVAgOv5juF9nHT2JS/F1ccoMXM="))
PETERS_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETERS_NOTE = f"""{PETERS_TEXT}
— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=
"""
"""The note that the documentation of golang.org/x/mod/sumdb/note signs, and the key it publishes for it."""
PUBLISHED = [
    GO_KEY,
    PETER,
    "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop",
    "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
]


def test_the_checkpoint_of_a_log_that_is_not_ours_opens_with_its_key() -> None:
    said = opened(GO_2026, Verifier.of(GO_KEY), origin=GO_LOG)

    assert (said.origin, said.size) == (GO_LOG, 65664258)
    assert GO_2026.startswith(said.text)


def test_the_signatures_of_its_witness_are_passed_over() -> None:
    assert opened(GO_2023, Verifier.of(GO_KEY), origin=GO_LOG).size == 15081221


def test_one_digit_changed_and_it_does_not_open() -> None:
    with pytest.raises(CheckpointError, match="text was changed"):
        opened(GO_2026.replace("65664258", "65664259"), Verifier.of(GO_KEY), origin=GO_LOG)


@pytest.mark.parametrize("vkey", PUBLISHED)
def test_a_published_key_is_written_as_it_was_read(vkey: str) -> None:
    assert Verifier.of(vkey).vkey == vkey


def test_a_published_note_is_signed_as_it_was_byte_for_byte() -> None:
    assert module._signed(PETERS_TEXT, name="PeterNeumann", private_key=PETERS_KEY) == PETERS_NOTE
    assert module._verified(PETERS_NOTE, Verifier.of(PETER)) == PETERS_TEXT


# --- Ours.


@given(size=st.integers(0, LARGEST), root=st.binary(min_size=32, max_size=32))
def test_what_was_signed_is_what_is_read(size: int, root: bytes) -> None:
    said = Checkpoint(ORIGIN, size, root)

    assert opened(sign(said, name=ORIGIN, private_key=KEY), OURS) == said
    assert opened(sign(said, name=ORIGIN, private_key=KEY), Verifier.of(OURS.vkey)) == said


def test_a_note_is_three_lines_and_a_signature() -> None:
    origin, size, root, empty, line, end = NOTE.split("\n")

    assert (origin, size, root, empty, end) == (ORIGIN, "4096", ROOT, "", "")
    assert line.startswith(f"— {ORIGIN} ")


def test_an_empty_log_has_a_checkpoint_too() -> None:
    assert Checkpoint(ORIGIN, 0, EMPTY_ROOT).text.split("\n")[1] == "0"


@pytest.mark.parametrize("origin", ["", "two\nlines", "tab\t", "\ud800"])
def test_no_checkpoint_is_of_a_log_without_a_name_of_one_line(origin: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        Checkpoint(origin, 1, EMPTY_ROOT)


@pytest.mark.parametrize(("size", "root"), [(-1, EMPTY_ROOT), (LARGEST + 1, EMPTY_ROOT), (1, b""), (1, bytes(33))])
def test_no_checkpoint_is_of_what_no_log_can_be(size: int, root: bytes) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint(ORIGIN, size, root)


@pytest.mark.parametrize("name", ["", "a b", "a\u00a0b", "a\u2028b", "a+b", "a\nb", "a\x01b", "\ud800"])
def test_a_name_that_could_not_stand_in_a_signature_is_no_keys(name: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        Verifier(name, KEY.public_key())


# --- Whoever changes something.


@pytest.mark.parametrize("at", range(len(NOTE)))
def test_any_character_changed_or_left_out_and_it_does_not_open(at: int) -> None:
    others = [chr(ord(NOTE[at]) ^ 1 << bit) for bit in range(7)]
    for new in ["", *others, NOTE[at] * 2, "\ud800"]:
        with pytest.raises(CheckpointError):
            opened(NOTE[:at] + new + NOTE[at + 1 :], OURS)


@settings(max_examples=300)
@given(note=st.text() | st.lists(st.sampled_from([*NOTE.split(" "), *NOTE, "\n\n", " "])).map("".join))
def test_any_text_at_all_is_refused_and_raises_nothing_else(note: str) -> None:
    with pytest.raises(CheckpointError):
        opened(note, OURS)


@pytest.mark.parametrize(
    "vkey", ["", "+", "a+b", "++", OURS.vkey + "=", OURS.vkey[:-1], f"{OURS.vkey}\n", f" {OURS.vkey}"]
)
def test_what_is_no_key_is_not_read_as_one(vkey: str) -> None:
    with pytest.raises(CheckpointError):
        Verifier.of(vkey)


@pytest.mark.parametrize("at", range(len(PETER)))
def test_any_bit_of_a_key_changed_and_it_is_none(at: int) -> None:
    for bit in range(8):
        with pytest.raises(CheckpointError):
            Verifier.of(PETER[:at] + chr(ord(PETER[at]) ^ 1 << bit) + PETER[at + 1 :])


def test_a_key_of_another_type_is_refused_though_its_id_is_right() -> None:
    raw = b"\x04" + KEY.public_key().public_bytes_raw()
    key_id = hashlib.sha256(ORIGIN.encode() + b"\n" + raw).hexdigest()[:8]

    with pytest.raises(CheckpointError, match="Ed25519"):
        Verifier.of(f"{ORIGIN}+{key_id}+{base64.b64encode(raw).decode()}")


def test_another_key_of_the_same_name_does_not_open_it() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        opened(NOTE, Verifier(ORIGIN, OTHER.public_key()))


def test_the_same_key_under_another_name_does_not_open_it() -> None:
    with pytest.raises(CheckpointError, match="not signed by this key"):
        opened(NOTE, Verifier("mien/another", KEY.public_key()), origin=ORIGIN)


def test_a_checkpoint_of_another_log_by_the_same_key_is_refused() -> None:
    said = Checkpoint("mien/another", SAID.size, SAID.root)

    with pytest.raises(CheckpointError, match="another log"):
        opened(sign(said, name=ORIGIN, private_key=KEY), OURS)
    with pytest.raises(CheckpointError, match="another log"):
        opened(NOTE, OURS, origin="mien/another")


def test_others_may_sign_as_well_before_it_and_after() -> None:
    text, _, own = NOTE.rpartition("\n\n")
    before, after = cosigned(["witness.example/1"]), cosigned(["witness.example/2", ORIGIN, "\u05e2\u05d3"])

    assert opened(f"{text}\n\n{before}{own}{after}", OURS) == SAID
    assert opened(NOTE + cosigned(f"w{number}" for number in range(MOST_SIGNATURES - 1)), OURS) == SAID
    assert opened(NOTE + f"— w {base64.b64encode(bytes(5000)).decode()}\n" * 16, OURS) == SAID


def test_who_has_our_key_id_and_another_name_is_another() -> None:
    line = f"— witness {base64.b64encode(OURS.key_id + bytes(64)).decode()}\n"

    assert opened(NOTE + line, OURS) == SAID


@pytest.mark.parametrize("length", [1, 63, 64, 65])
def test_a_second_signature_of_ours_that_does_not_hold_spoils_the_note(length: int) -> None:
    line = f"— {ORIGIN} {base64.b64encode(OURS.key_id + bytes(length)).decode()}\n"

    with pytest.raises(CheckpointError, match="not by this key"):
        opened(NOTE + line, OURS)


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
    assert opened(NOTE + "— w AAAAAAA=\n", OURS) == SAID
    for sent in (f"{NOTE}{line}\n", NOTE.replace("\n\n", f"\n\n{line}\n"), f"{NOTE}— w AAAAAAA="):
        with pytest.raises(CheckpointError):
            opened(sent, OURS)


def test_a_note_has_a_largest_size_and_a_largest_number_of_signatures() -> None:
    with pytest.raises(CheckpointError, match="KiB"):
        opened(NOTE + f"— w {base64.b64encode(bytes(LONGEST)).decode()}\n", OURS)
    with pytest.raises(CheckpointError, match="signatures"):
        opened(NOTE + cosigned(f"w{number}" for number in range(MOST_SIGNATURES)), OURS)


NO_SIZES = ["", "04096", "+1", "-1", "1_0", "1e3", "00", " 1", "1 ", "\u0661", "x", LARGEST + 1, 10**19, "9" * 5000]
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
    *(f"{ORIGIN}\r\n1\r\n{ROOT}\r\n", f"{ORIGIN}\n1\n{ROOT}\nmore\n\nand\n", f"mien/another\n1\n{ROOT}\n"),
    *(f"{ORIGIN}\n{size}\n{ROOT}\n" for size in NO_SIZES),
    *(f"{ORIGIN}\n1\n{root}\n" for root in NO_ROOTS),
]


@pytest.mark.parametrize("text", NO_LINES)
def test_a_text_that_is_no_checkpoint_is_refused_though_it_is_signed(text: str) -> None:
    with pytest.raises(CheckpointError):
        opened(signed(text), OURS)


def test_lines_after_the_root_are_allowed_and_mean_nothing() -> None:
    assert opened(signed(f"{SAID.text}more\nand more\n"), OURS) == SAID


def test_an_error_repeats_nothing_of_what_was_sent() -> None:
    for note in (f"secret\n1\n{ROOT}\n", "secret", f"{ORIGIN}\nsecret\n{ROOT}\n", f"{ORIGIN}\n1\nsecret\n"):
        for sent in (note, signed(note)):
            with pytest.raises(CheckpointError) as refused:
                opened(sent, OURS)

            assert "secret" not in str(refused.value)
