"""A network that an operator brings is fed as its card says, and does no harm where it is not what the card says."""

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
from app.faces.workers.pool import EnginePool
from app.main import CUSTOM_ENGINE, create_engine
from tests.faces.conftest import pool_of
from tests.faces.custom_networks import FED, POOLED, bring, calibrate, network, settings_with
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
LAYER_OF_ITS_OWN = network(("Frobnicate", "data", "pooled"))
ZEROS = network(POOLED, ("Relu", "pooled", "clipped"))
NOT_A_NUMBER = network(POOLED, ("Sqrt", "pooled", "root"))
BELOW = {**FED, "mean": [300, 300, 300]}
"""Makes every number of a picture negative, of which `Relu` gives zeros and `Sqrt` no numbers."""
DARK = {**FED, "mean": [100, 100, 100]}
"""The same, of a dark picture; grey stays above it."""


def loaded(card: Card) -> OnnxEngine:
    """Load an operator's network as a worker does, in this process."""
    engine = worker.load_engine(CUSTOM_ENGINE, card.digests, card.settings)
    assert isinstance(engine, OnnxEngine)
    return engine


def fed(folder: Path, raw: bytes | None = None, **changes: Any) -> OnnxEngine:
    """Return the engine of a network that is fed so."""
    card = bring(folder, network(POOLED) if raw is None else raw, fed={**FED, **changes})
    return loaded(select_card(settings_with(card), calibrated=False))


def coloured() -> Pixels:
    """Return a picture of one colour."""
    return np.full((200, 200, 3), (10, 20, 30), dtype=np.uint8)


def vectors(card: Path, *photos: bytes) -> list[tuple[float, ...]]:
    """Measure photos with the network of *card* in a worker."""
    pool, _ = create_engine(settings_with(card, engine_workers=1), calibrated=False)
    pool.start()
    try:
        measured = pool.measure(Permit(grant_ids=()), photos)
    finally:
        pool.close()
    assert all(isinstance(one, Measurement) for one in measured)
    return [one.vector for one in measured if isinstance(one, Measurement)]


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return math.dist(one, other)


def test_sface_brought_as_ones_own_gives_the_numbers_of_sface(tmp_path: Path, image: Callable[[str], bytes]) -> None:
    photos = [image(PORTRAIT), image(SELFIE)]
    with pool_of("sface") as pool:
        expected = [one.vector for one in pool.measure(Permit(grant_ids=()), photos) if isinstance(one, Measurement)]
    ours = vectors(bring(tmp_path / "own"), *photos)

    assert len(expected) == 2
    assert ours == expected


@pytest.mark.parametrize(
    "changes", [{"channels": "bgr"}, {"alignment": "box"}, {"mean": [20, 0, 0]}, {"scale": [1, 1, 0.5]}]
)
def test_fed_otherwise_it_gives_other_numbers(
    tmp_path: Path, image: Callable[[str], bytes], changes: Mapping[str, Any]
) -> None:
    photo = image(PORTRAIT)
    as_it_is, changed = (vectors(bring(tmp_path / "own", fed=how), photo)[0] for how in (FED, {**FED, **changes}))

    assert math.isclose(math.hypot(*changed), 1)
    assert apart(as_it_is, changed) > 0.02


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
def test_it_is_fed_as_its_card_says(
    tmp_path: Path, changes: Mapping[str, Any], numbers: tuple[float, float, float]
) -> None:
    vector = fed(tmp_path / "own", **changes).embed(coloured(), FACE)

    assert vector == pytest.approx(numbers, abs=1e-4)


@pytest.mark.parametrize(("metric", "length"), [("l2", math.hypot(10, 20, 30)), ("cosine", 1)])
def test_only_by_the_cosine_a_vector_has_length_1(tmp_path: Path, metric: str, length: float) -> None:
    card = bring(tmp_path / "own", network(POOLED), metric=metric)
    engine = loaded(select_card(settings_with(card), calibrated=False))

    assert math.isclose(math.hypot(*engine.embed(coloured(), FACE)), length, rel_tol=1e-6)


def test_a_box_is_the_face_and_an_eighth_of_it_on_each_side(tmp_path: Path) -> None:
    """The face is 120 px wide, so the square is 150: columns 5 to 155, rows 25 to 175."""
    whole = np.zeros((200, 200, 3), dtype=np.uint8)
    inside = whole.copy()
    inside[25:175, 5:155] = 200
    outside = 200 - inside
    engine = fed(tmp_path / "own", alignment="box", size=150)

    assert engine.embed(inside, FACE) == pytest.approx((200,) * 3, abs=1e-3)
    assert engine.embed(outside, FACE) == pytest.approx((0,) * 3, abs=1e-3)


def test_past_the_edge_the_border_goes_on(tmp_path: Path) -> None:
    at_the_corner = Face(box=(-30, 90, 90, -30), points=FACE.points, eyes=FACE.eyes, nose=FACE.nose)

    assert fed(tmp_path / "own", alignment="box").embed(coloured(), at_the_corner) == pytest.approx((10, 20, 30))


@contextmanager
def failing(card: Path) -> Iterator[tuple[EnginePool, Card]]:
    """Run a network of which no worker can come up; gives its pool once it is known why."""
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
        (LAYER_OF_ITS_OWN, {}, "engine_unusable"),
        (TWO_INPUTS, {}, "engine_unusable"),
        (network(POOLED), {"fed": {**FED, "input": "picture"}}, "engine_unusable"),
        (None, {"fed": {**FED, "input": ""}}, "engine_unusable"),
        (network(POOLED), {"dimensions": 4}, "vector_unusable"),
        (ZEROS, {"fed": BELOW}, "vector_unusable"),
        (NOT_A_NUMBER, {"fed": BELOW}, "vector_unusable"),
        (ZEROS, {"fed": BELOW, "metric": "cosine"}, "vector_unusable"),
    ],
    ids=[
        "truncated",
        "no ONNX",
        "own layer",
        "two inputs",
        "no such input",
        "which input",
        "length",
        "zeros",
        "NaN",
        "zeros, cosine",
    ],
)
def test_a_network_that_is_not_what_its_card_says_does_not_come_up(
    tmp_path: Path, raw: bytes | None, changes: dict[str, Any], code: str
) -> None:
    with failing(bring(tmp_path / "own", raw, **changes)) as (pool, _):
        assert (pool.status().ready, pool.status().reason) == (False, START_REFUSALS[code])


def test_readyz_says_why_it_did_not_come_up(root: Path, tmp_path: Path) -> None:
    with (
        failing(bring(tmp_path / "own", TWO_INPUTS)) as (pool, card),
        serving(root, SharedPool(pool), card) as service,
    ):
        said = service.client.get("/readyz")

    assert said.status_code == 503
    assert said.json()["reasons"] == [f"engine: {START_REFUSALS['engine_unusable']}"]
    assert said.json()["engine"] == card.id


@pytest.mark.parametrize("raw", [ZEROS, NOT_A_NUMBER], ids=["zeros", "NaN"])
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_photo_of_which_nothing_is_made_is_refused(
    tmp_path: Path, raw: bytes, metric: str, image: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Grey gives numbers here, so the network came up; a dark picture gives none."""
    card = bring(tmp_path / "own", raw, fed=DARK, metric=metric)
    engine = loaded(select_card(settings_with(card), calibrated=False))
    pipeline.warm_up(engine, 25_000_000)
    monkeypatch.setattr(engine, "_align", lambda *_: np.zeros((112, 112, 3), dtype=np.uint8))
    found = pipeline.measure(engine, image(PORTRAIT), keep_photo=False, max_pixels=25_000_000)

    assert found == Flaw.BROKEN


def test_the_service_takes_no_vector_of_zeros_from_a_worker() -> None:
    """The cosine divides by its length."""
    frame = Frame({"kind": "measured", "quality": {}}, (bytes(24),))
    with pytest.raises(FrameError, match="zeros"):
        parse_reply(frame, dimensions=3, keep_photo=False)


def test_people_enrol_and_are_known_again(root: Path, tmp_path: Path, image: Callable[[str], bytes]) -> None:
    pool, card = create_engine(calibrate(bring(tmp_path / "own"), engine_workers=1))
    pool.start()
    with serving(root, SharedPool(pool), card) as service:
        pool_ready = service.client.get("/readyz")
        person, party = service.person(), service.party()
        consent = service.consent(person, party)
        enrolled = enrol(person, [consent["consent_id"]], [image(PORTRAIT)])
        same = party.verify(consent["subject_ref"], image(SELFIE)).json()
        other = party.verify(consent["subject_ref"], image("people/P003/studio_portrait.jpg")).json()
        shown = service.client.get("/v1/engine")
    pool.close()

    assert pool_ready.json()["engine"] == card.id
    assert enrolled.status_code == 201, enrolled.text
    assert (same["decision"], other["decision"]) == ("match", "no_match")
    assert shown.json()["id"] == card.id
    assert shown.json()["statement"]["people_agreed"] == "unknown"
    assert shown.json()["in_force"]["threshold"] > 0
    assert [one["id"] for one in shown.json()["others"]] == ["face_recognition", "sface"]
    assert str(tmp_path) not in shown.text


def test_templates_of_the_same_network_fed_otherwise_are_not_compared(
    root: Path, tmp_path: Path, image: Callable[[str], bytes]
) -> None:
    """The network is the same file: its hash alone would not tell."""
    sface = load_card("sface")
    with pool_of("sface") as pool, serving(root, SharedPool(pool), sface) as service:
        person, party = service.person(), service.party()
        consent = service.consent(person, party)
        assert enrol(person, [consent["consent_id"]], [image(PORTRAIT)]).status_code == 201
        before = party.verify(consent["subject_ref"], image(PORTRAIT))
    card = select_card(calibrate(bring(tmp_path / "own", fed={**FED, "channels": "bgr"})))
    with pool_of("sface") as pool, serving(root, SharedPool(pool), card) as service:
        party.client = service.client
        after = party.verify(consent["subject_ref"], image(PORTRAIT))

    assert card.digests["our.onnx"] == sface.weights_sha256 != card.weights_sha256
    assert (before.status_code, before.json()["decision"]) == (200, "match")
    assert (after.status_code, after.json()["type"]) == (404, "urn:mien:problem:no-such-consent")
