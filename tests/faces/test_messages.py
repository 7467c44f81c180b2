"""A worker's malformed output is refused; it can do no more than end the worker."""

import io
import json
import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.workers.frames import Frame, FrameError, pack, read_frame
from app.faces.workers.messages import (
    QUALITY_NAMES,
    SANDBOX_PROTECTIONS,
    Measurement,
    MeasureRequest,
    ReadyReply,
    StartRequest,
    flaw_frame,
    parse_reply,
)

_QUALITY = dict.fromkeys(QUALITY_NAMES, 0.5)


def parsed(raw: bytes, *, max_blob_bytes: int = 1000) -> Frame:
    source = io.BytesIO(raw)

    def read(count: int) -> bytes:
        got = source.read(count)
        if len(got) < count:
            raise EOFError
        return got

    return read_frame(read, max_blob_bytes=max_blob_bytes)


def reply(vector: tuple[float, ...], **header: object) -> Frame:
    blob = struct.pack(f"<{len(vector)}d", *vector)
    return Frame({"kind": "measured", "quality": _QUALITY} | header, (blob,))


def test_a_frame_is_read_as_it_was_packed() -> None:
    frame = Frame({"kind": "x", "n": 3}, (b"one", b""))

    assert parsed(pack(frame)) == frame


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff\xff\xff\xff",
        struct.pack(">I", 2) + b"[]",
        struct.pack(">I", 2) + b"{}",
        struct.pack(">I", 8000) + b"[" * 8000,
        struct.pack(">I", 17) + b'{"blobs": [99999]}'[:17],
        pack(Frame({}, (bytes(1001),))),
        pack(Frame({}, (b"", b"", b""))),
        struct.pack(">I", 15) + b'{"blobs": [-1]}',
        struct.pack(">I", 17) + b'{"blobs": [true]}',
        struct.pack(">I", 2) + b"\xff\xfe",
    ],
)
def test_a_malformed_frame_is_refused(raw: bytes) -> None:
    with pytest.raises(FrameError):
        parsed(raw)


@given(st.binary(max_size=300))
def test_arbitrary_bytes_at_most_fail(raw: bytes) -> None:
    try:
        parsed(raw)
    except (FrameError, EOFError):
        return


SCALARS = st.none() | st.booleans() | st.floats() | st.text(max_size=5)


@settings(max_examples=50)
@given(st.recursive(SCALARS, lambda inner: st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=5))
def test_a_reply_with_arbitrary_quality_is_refused(quality: object) -> None:
    frame = reply((0.0, 1.0)).header | {"quality": quality}

    with pytest.raises(FrameError):
        parse_reply(Frame(frame, (bytes(16),)), dimensions=2, keep_photo=False)


def test_a_valid_reply_is_read() -> None:
    measured = Measurement((0.5, -1.0), _QUALITY, b"\xff\xd8\xff photo")

    assert parse_reply(parsed(pack(measured.frame())), dimensions=2, keep_photo=True) == measured
    assert parse_reply(flaw_frame(Flaw.BLURRED), dimensions=2, keep_photo=False) == Flaw.BLURRED


@pytest.mark.parametrize(
    ("frame", "keep_photo"),
    [
        (reply((0.0,)), False),
        (reply((0.0, 0.0, 0.0)), False),
        (reply((0.0, math.nan)), False),
        (reply((0.0, math.inf)), False),
        (reply((0.0, 0.0)), True),
        (Frame(reply((0.0, 0.0)).header, (bytes(16), b"\xff\xd8\xff")), False),
        (Frame(reply((0.0, 0.0)).header, (bytes(16), b"PK\x03\x04")), True),
        (reply((0.0, 0.0), quality={}), False),
        (reply((0.0, 0.0), quality=_QUALITY | {"extra": 1.0}), False),
        (reply((0.0, 0.0), quality=_QUALITY | {"yaw": "0"}), False),
        (Frame({"kind": "flaw", "code": "other words"}), False),
        (Frame({"kind": "flaw", "code": "blurred"}, (b"extra",)), False),
        (Frame({"kind": "hello"}), False),
        (Frame({}), False),
    ],
)
def test_a_reply_of_another_form_is_refused(frame: Frame, keep_photo: bool) -> None:  # noqa: FBT001
    with pytest.raises(FrameError):
        parse_reply(frame, dimensions=2, keep_photo=keep_photo)


def test_every_message_is_read_as_it_was_packed() -> None:
    start = StartRequest("a:B", {"file": "00"}, {"side": 3}, 1, 2)
    ready = ReadyReply("toy", 128, "00", (SANDBOX_PROTECTIONS[0],))
    measure = MeasureRequest(b"image", keep_photo=True, use=PhotoUse.ENROLMENT)
    probe = MeasureRequest(b"image", keep_photo=False, use=PhotoUse.PROBE)

    assert StartRequest.from_frame(parsed(pack(start.frame()))) == start
    assert ReadyReply.from_frame(parsed(pack(ready.frame()))) == ready
    assert MeasureRequest.from_frame(parsed(pack(measure.frame()))) == measure
    assert MeasureRequest.from_frame(parsed(pack(probe.frame()))) == probe


def test_a_protection_that_the_worker_does_not_confirm_is_missing() -> None:
    frame = ReadyReply("toy", 128, "00", ()).frame()
    header = json.loads(json.dumps(frame.header)) | {"walls": {"limits": 1}}

    assert ReadyReply.from_frame(Frame(header)).missing == SANDBOX_PROTECTIONS
