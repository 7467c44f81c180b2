"""A signed checkpoint opens with its key; so do notes that others published."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from app.transparency.verify import checkpoint as module
from app.transparency.verify.checkpoint import Checkpoint, CheckpointError, Verifier, open_checkpoint, sign_checkpoint
from app.transparency.verify.merkle import EMPTY_ROOT, MAX_LEAVES
from tests.transparency.signed_notes import KEY, NOTE, ORIGIN, OURS, ROOT

# --- Notes that others published

GO_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
GO_LOG = "go.sum database tree"
GO_2026 = """go.sum database tree
65664258
WVVNVD2qx+fTq31zkj6UAqxT5X6HvGphGM+o8Thnbsg=

— sum.golang.org Az3grligJmgX7KGyGPKybykNTh3VgsbLvUuvOwrM5zLVlulmFp2wdvbxOw74/gcNxURShXEpb7RXcs3+BYflYN+w0gQ=
"""
"""A checkpoint of the checksum database of Go, and an older one with two signatures of a witness."""
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


def test_the_checkpoint_of_another_log_opens_with_its_key() -> None:
    checkpoint = open_checkpoint(GO_2026, Verifier.from_vkey(GO_KEY), origin=GO_LOG)

    assert (checkpoint.origin, checkpoint.size) == (GO_LOG, 65664258)
    assert GO_2026.startswith(checkpoint.text)


def test_the_signatures_of_a_witness_are_ignored() -> None:
    assert open_checkpoint(GO_2023, Verifier.from_vkey(GO_KEY), origin=GO_LOG).size == 15081221


def test_a_checkpoint_with_a_changed_digit_does_not_open() -> None:
    with pytest.raises(CheckpointError, match="text was changed"):
        open_checkpoint(GO_2026.replace("65664258", "65664259"), Verifier.from_vkey(GO_KEY), origin=GO_LOG)


@pytest.mark.parametrize("vkey", PUBLISHED)
def test_a_published_key_line_is_read_and_written_unchanged(vkey: str) -> None:
    assert Verifier.from_vkey(vkey).vkey == vkey


def test_a_published_note_is_signed_with_the_same_bytes() -> None:
    assert module._sign_note(PETERS_TEXT, name="PeterNeumann", private_key=PETERS_KEY) == PETERS_NOTE
    assert module._verify_note(PETERS_NOTE, Verifier.from_vkey(PETER)) == PETERS_TEXT


# --- Notes of our log


@given(size=st.integers(0, MAX_LEAVES), root=st.binary(min_size=32, max_size=32))
def test_a_signed_checkpoint_is_read_back(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(ORIGIN, size, root)
    note = sign_checkpoint(checkpoint, name=ORIGIN, private_key=KEY)

    assert open_checkpoint(note, OURS) == checkpoint
    assert open_checkpoint(note, Verifier.from_vkey(OURS.vkey)) == checkpoint


def test_a_note_is_three_lines_and_a_signature() -> None:
    origin, size, root, empty, line, end = NOTE.split("\n")

    assert (origin, size, root, empty, end) == (ORIGIN, "4096", ROOT, "", "")
    assert line.startswith(f"— {ORIGIN} ")


@pytest.mark.parametrize("origin", ["", "two\nlines", "tab\t", "\ud800"])
def test_the_name_of_a_log_is_one_line_of_text(origin: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        Checkpoint(origin, 1, EMPTY_ROOT)


@pytest.mark.parametrize(("size", "root"), [(-1, EMPTY_ROOT), (MAX_LEAVES + 1, EMPTY_ROOT), (1, b""), (1, bytes(33))])
def test_an_impossible_size_or_root_is_refused(size: int, root: bytes) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint(ORIGIN, size, root)


@pytest.mark.parametrize("name", ["", "a b", "a\u00a0b", "a\u2028b", "a+b", "a\nb", "a\x01b", "\ud800"])
def test_a_key_name_that_a_signature_line_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="name"):
        Verifier(name, KEY.public_key())
