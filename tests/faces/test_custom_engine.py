"""An operator's network gets the input that its card describes; a network that does not fit its card is refused."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.faces.cards.card import Card, load_card
from app.faces.cards.select import select_card
from app.faces.engine import Face, Pixels
from app.faces.engines.onnx import OnnxEngine
from app.faces.flaws import Flaw
from app.faces.permit import Permit
from app.faces.workers import pipeline, worker
from app.faces.workers.frames import Frame, FrameError
from app.faces.workers.messages import START_REFUSALS, Measurement, parse_reply
from app.faces.workers.pool import MAX_PIXELS, EnginePool
from app.main import CUSTOM_ENGINES, create_engine
from tests.faces.conftest import distance, pool_of
from tests.faces.custom_networks import INPUT, POOLED, calibrate, network, settings_with, write_card
from tests.support.service_fixture import SharedPool, enrol, serving

PORTRAIT = "people/P001/studio_portrait.jpg"
SELFIE = "people/P001/amateur_selfie.jpg"
FACE = Face(
    box=(40, 140, 160, 20),
    points=((60.0, 80.0), (100.0, 80.0), (80.0, 105.0), (65.0, 130.0), (95.0, 130.0)),
    eyes=((60.0, 80.0), (100.0, 80.0)),
    nose=(80.0, 105.0),
)
TRUNCATED = network(POOLED)[:-20]
TWO_INPUTS = network(("Add", "data+more", "sum"), ("GlobalAveragePool", "sum", "pooled"), inputs=("data", "more"))
UNKNOWN_LAYER = network(("Frobnicate", "data", "pooled"))
ZEROS = network(POOLED, ("Relu", "pooled", "clipped"))
NOT_A_NUMBER = network(POOLED, ("Sqrt", "pooled", "root"))
NEGATIVE_INPUT = {**INPUT, "mean": [300, 300, 300]}
"""Makes all numbers of a picture negative: `Relu` then returns zeros, and `Sqrt` NaN."""
NEGATIVE_IF_DARK = {**INPUT, "mean": [100, 100, 100]}
"""Makes the numbers of a dark picture negative, but not those of the grey picture of the warm-up."""


def load_uncalibrated(path: Path) -> OnnxEngine:
    """Load the network of a card as a worker does, in this process."""
    card = select_card(settings_with(path), calibrated=False)
    engine = worker.load_engine(CUSTOM_ENGINES["onnx"], card.digests, card.settings)
    assert isinstance(engine, OnnxEngine)
    return engine


def pooling_engine(folder: Path, **changes: Any) -> OnnxEngine:
    """Return the engine of a network that averages each channel, with changed settings of its input."""
    card = write_card(folder, network(POOLED), network_input={**INPUT, **changes})
    return load_uncalibrated(card)


def coloured() -> Pixels:
    """Return a picture of one colour."""
    return np.full((200, 200, 3), (10, 20, 30), dtype=np.uint8)


def measure(engine: OnnxEngine, photo: bytes) -> Measurement | Flaw:
    """Measure a photo in this process."""
    return pipeline.measure(engine, photo, keep_photo=False, max_pixels=MAX_PIXELS)


def test_sface_as_an_operators_network_gives_the_vectors_of_sface(
    tmp_path: Path, image: Callable[[str], bytes]
) -> None:
    photos = [image(PORTRAIT), image(SELFIE)]
    with pool_of("sface", workers=1) as pool:
        expected = [one.vector for one in pool.measure(Permit(grant_ids=()), photos) if isinstance(one, Measurement)]
    pool, _ = create_engine(settings_with(write_card(tmp_path / "own"), engine_workers=1), calibrated=False)
    pool.start()
    ours = [one.vector for one in pool.measure(Permit(grant_ids=()), photos) if isinstance(one, Measurement)]
    pool.close()

    assert len(expected) == 2
    assert ours == expected


def test_other_settings_of_the_input_give_other_vectors(tmp_path: Path, image: Callable[[str], bytes]) -> None:
    photo = image(PORTRAIT)
    unchanged = measure(load_uncalibrated(write_card(tmp_path / "own")), photo)
    for change in ({"channels": "bgr"}, {"alignment": "box"}, {"mean": [20, 0, 0]}, {"scale": [1, 1, 0.5]}):
        card = write_card(tmp_path / "own", network_input={**INPUT, **change})
        changed = measure(load_uncalibrated(card), photo)
        assert isinstance(changed, Measurement)

        assert math.isclose(math.hypot(*changed.vector), 1)
        assert distance(unchanged, changed) > 0.02, change


@pytest.mark.parametrize(
    ("changes", "numbers"),
    [
        ({}, (10, 20, 30)),
        ({"channels": "bgr"}, (30, 20, 10)),
        ({"mean": [1, 2, 3]}, (9, 18, 27)),
        ({"mean": [1, 2, 3], "channels": "bgr"}, (29, 18, 7)),
        ({"scale": 0.5}, (5, 10, 15)),
        ({"scale": [1, 2, 3]}, (10, 40, 90)),
        ({"scale": [1, 2, 3], "mean": [1, 2, 3], "channels": "bgr"}, (29, 36, 21)),
        ({"alignment": "box"}, (10, 20, 30)),
        ({"size": 160}, (10, 20, 30)),
        ({"size": 32, "alignment": "box"}, (10, 20, 30)),
    ],
)
def test_a_network_gets_the_input_that_its_card_describes(
    tmp_path: Path, changes: Mapping[str, Any], numbers: tuple[float, float, float]
) -> None:
    vector = pooling_engine(tmp_path / "own", **changes).embed(coloured(), FACE)

    assert vector == pytest.approx(numbers, abs=1e-4)


@pytest.mark.parametrize(("metric", "length"), [("l2", math.hypot(10, 20, 30)), ("cosine", 1)])
def test_only_with_the_cosine_a_vector_has_length_1(tmp_path: Path, metric: str, length: float) -> None:
    card = write_card(tmp_path / "own", network(POOLED), metric=metric)
    engine = load_uncalibrated(card)

    assert math.isclose(math.hypot(*engine.embed(coloured(), FACE)), length, rel_tol=1e-6)


def test_the_box_has_a_margin_of_an_eighth_of_the_face_on_each_side(tmp_path: Path) -> None:
    """The face is 120 px wide, so the square is 150: columns 5 to 155, rows 25 to 175."""
    whole = np.zeros((200, 200, 3), dtype=np.uint8)
    inside = whole.copy()
    inside[25:175, 5:155] = 200
    outside = 200 - inside
    engine = pooling_engine(tmp_path / "own", alignment="box", size=150)

    assert engine.embed(inside, FACE) == pytest.approx((200,) * 3, abs=1e-3)
    assert engine.embed(outside, FACE) == pytest.approx((0,) * 3, abs=1e-3)


def test_beyond_the_picture_the_pixels_at_its_edge_repeat(tmp_path: Path) -> None:
    at_the_corner = Face(box=(-30, 90, 90, -30), points=FACE.points, eyes=FACE.eyes, nose=FACE.nose)

    assert pooling_engine(tmp_path / "own", alignment="box").embed(coloured(), at_the_corner) == pytest.approx(
        (10, 20, 30)
    )


@contextmanager
def failing_pool(card: Path) -> Iterator[tuple[EnginePool, Card]]:
    """Run a network whose worker cannot start; give its pool when the reason is known."""
    pool, found = create_engine(calibrate(card, engine_workers=1))
    pool.start()
    until = time.monotonic() + 300
    while pool.status().reason == "the workers are starting" and time.monotonic() < until:
        time.sleep(0.05)
    yield pool, found
    pool.close()


@pytest.mark.parametrize(
    ("raw", "changes", "code"),
    [
        (TRUNCATED, {}, "engine_unusable"),
        (b"GIF89a", {}, "engine_unusable"),
        (UNKNOWN_LAYER, {}, "engine_unusable"),
        (TWO_INPUTS, {}, "engine_unusable"),
        (network(POOLED), {"network_input": {**INPUT, "input": "picture"}}, "engine_unusable"),
        (None, {"network_input": {**INPUT, "input": ""}}, "engine_unusable"),
        (network(POOLED), {"dimensions": 4}, "vector_unusable"),
        (ZEROS, {"network_input": NEGATIVE_INPUT}, "vector_unusable"),
        (NOT_A_NUMBER, {"network_input": NEGATIVE_INPUT}, "vector_unusable"),
        (ZEROS, {"network_input": NEGATIVE_INPUT, "metric": "cosine"}, "vector_unusable"),
    ],
    ids=[
        "truncated",
        "no ONNX",
        "unknown layer",
        "two inputs",
        "no such input",
        "which input",
        "length",
        "zeros",
        "NaN",
        "zeros, cosine",
    ],
)
def test_a_network_that_does_not_fit_its_card_is_refused(
    tmp_path: Path, raw: bytes | None, changes: dict[str, Any], code: str
) -> None:
    card = select_card(calibrate(write_card(tmp_path / "own", raw, **changes)))
    with pytest.raises(worker.RefusedError, match=code), worker.refuse_on_error():
        pipeline.warm_up(worker.load_engine(CUSTOM_ENGINES["onnx"], card.digests, card.settings), MAX_PIXELS)


@pytest.mark.parametrize(
    ("raw", "changes", "code"),
    [(TRUNCATED, {}, "engine_unusable"), (ZEROS, {"network_input": NEGATIVE_INPUT}, "vector_unusable")],
    ids=["truncated", "zeros"],
)
def test_the_status_of_the_pool_has_the_reason_of_the_refusal(
    tmp_path: Path, raw: bytes, changes: dict[str, Any], code: str
) -> None:
    with failing_pool(write_card(tmp_path / "own", raw, **changes)) as (pool, _):
        assert (pool.status().ready, pool.status().reason) == (False, START_REFUSALS[code])


def test_readyz_has_the_reason_why_a_worker_did_not_start(root: Path, tmp_path: Path) -> None:
    with (
        failing_pool(write_card(tmp_path / "own", TWO_INPUTS)) as (pool, card),
        serving(root, SharedPool(pool), card) as service,
    ):
        answer = service.client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["reasons"] == [f"engine: {START_REFUSALS['engine_unusable']}"]
    assert answer.json()["engine"] == card.id


@pytest.mark.parametrize("raw", [ZEROS, NOT_A_NUMBER], ids=["zeros", "NaN"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_photo_without_a_usable_vector_is_refused(
    tmp_path: Path, raw: bytes, metric: str, image: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grey picture of the warm-up gives a usable vector, and a dark picture does not."""
    card = write_card(tmp_path / "own", raw, network_input=NEGATIVE_IF_DARK, metric=metric)
    engine = load_uncalibrated(card)
    pipeline.warm_up(engine, MAX_PIXELS)
    monkeypatch.setattr(engine, "_align", lambda *_: np.zeros((112, 112, 3), dtype=np.uint8))

    assert measure(engine, image(PORTRAIT)) == Flaw.BROKEN


def test_the_service_accepts_no_vector_of_zeros_from_a_worker() -> None:
    """The cosine divides by the length."""
    frame = Frame({"kind": "measured", "quality": {}}, (bytes(24),))
    with pytest.raises(FrameError, match="zeros"):
        parse_reply(frame, dimensions=3, keep_photo=False)


def test_a_subject_enrols_and_is_verified_with_an_operators_engine(
    root: Path, tmp_path: Path, image: Callable[[str], bytes]
) -> None:
    pool, card = create_engine(calibrate(write_card(tmp_path / "own"), engine_workers=1))
    pool.start()
    with serving(root, SharedPool(pool), card) as service:
        ready = service.client.get("/readyz")
        person, party = service.person(), service.party()
        consent = service.consent(person, party)
        enrolled = enrol(person, [consent["consent_id"]], [image(PORTRAIT)])
        same = party.verify(consent["subject_ref"], image(SELFIE)).json()
        other = party.verify(consent["subject_ref"], image("people/P003/studio_portrait.jpg")).json()
        public = service.client.get("/v1/engine")
    pool.close()

    assert ready.json()["engine"] == card.id
    assert enrolled.status_code == 201, enrolled.text
    assert (same["decision"], other["decision"]) == ("match", "no_match")
    assert public.json()["id"] == card.id
    assert public.json()["statement"]["people_agreed"] == "unknown"
    assert public.json()["in_force"]["threshold"] > 0
    assert [one["id"] for one in public.json()["others"]] == ["face_recognition", "sface"]
    assert str(tmp_path) not in public.text


def test_templates_of_the_same_network_with_other_settings_are_not_compared(
    root: Path, tmp_path: Path, image: Callable[[str], bytes]
) -> None:
    """The network is the same file, so its hash alone shows no difference."""
    sface = load_card("sface")
    with pool_of("sface", workers=1) as pool, serving(root, SharedPool(pool), sface) as service:
        person, party = service.person(), service.party()
        consent = service.consent(person, party)
        assert enrol(person, [consent["consent_id"]], [image(PORTRAIT)]).status_code == 201
        before = party.verify(consent["subject_ref"], image(PORTRAIT))
    card = select_card(calibrate(write_card(tmp_path / "own", network_input={**INPUT, "channels": "bgr"})))
    with pool_of("sface", workers=1) as pool, serving(root, SharedPool(pool), card) as service:
        party.client = service.client
        after = party.verify(consent["subject_ref"], image(PORTRAIT))

    assert card.digests["our.onnx"] == sface.weights_sha256 != card.weights_sha256
    assert (before.status_code, before.json()["decision"]) == (200, "match")
    assert (after.status_code, after.json()["type"]) == (404, "urn:mien:problem:no-such-consent")
