"""Two networks of an operator describe one face; their cosine distances are added by weight."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.select import select_card
from app.faces.engine import Face, Pixels
from app.faces.engines.onnx import OnnxEngine
from app.faces.flaws import Flaw
from app.faces.vectors import distance
from app.faces.workers import decode, pipeline, worker
from app.faces.workers.pool import MAX_PIXELS
from app.main import CUSTOM_ENGINES, create_engine
from tests.faces.custom_networks import (
    INPUT,
    POOLED,
    calibrate,
    network,
    settings_with,
    write_card,
    write_fused_card,
)
from tests.rights.complete_person import unzipped
from tests.support.service_fixture import SharedPool, enrol, serving

PORTRAIT = "people/P001/studio_portrait.jpg"
SELFIE = "people/P001/amateur_selfie.jpg"
OTHER = "people/P003/studio_portrait.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "own"


def load(path: Path) -> Any:
    """Load the engine of a card as a worker does, in this process."""
    settings = settings_with(path)
    card = select_card(settings, calibrated=False)
    return worker.load_engine(CUSTOM_ENGINES[settings.engine_kind], card.digests, card.settings)


def refusal(card: Path) -> str:
    """Return the reason why a card is refused, even for measuring."""
    with pytest.raises(CustomEngineError) as refused:
        select_card(settings_with(card), calibrated=False)
    return str(refused.value)


def embedded(engine: Any, picture: Pixels) -> tuple[tuple[float, ...], Face]:
    (face,) = engine.detect(picture)
    return tuple(engine.embed(picture, face)), face


def test_the_distance_is_the_weighted_sum_of_both_distances(folder: Path, image: Callable[[str], bytes]) -> None:
    fused = load(write_fused_card(folder, (0.7, 0.3)))
    (_, first), (_, second) = fused._networks
    joined, apart = [], []
    for name in (PORTRAIT, OTHER):
        picture = decode.decode(image(name), max_pixels=MAX_PIXELS, side=fused.side)
        assert isinstance(picture, decode.Picture)
        vector, face = embedded(fused, picture.pixels)
        joined.append(vector)
        apart.append([tuple(one.embed(picture.pixels, face)) for one in (first, second)])

    both = [distance(one, other, metric="cosine") for one, other in zip(*apart, strict=True)]
    assert abs(both[0] - both[1]) > 0.01, "otherwise the weights could be exchanged"
    assert math.isclose(distance(*joined, metric="cosine"), 0.7 * both[0] + 0.3 * both[1], abs_tol=1e-12)


def test_the_label_covers_both_networks_their_settings_and_the_weights(folder: Path) -> None:
    def card(path: Path) -> tuple[str, str]:
        found = select_card(settings_with(path), calibrated=False)
        return found.id, found.weights_sha256

    before = card(write_fused_card(folder))
    again = card(write_fused_card(folder, engine="Another name", default_target_fmr=0.01))
    weights = card(write_fused_card(folder, (0.6, 0.4)))
    exchanged = card(write_fused_card(folder, (0.3, 0.7)))
    fused = write_fused_card(folder)
    write_card(folder, network_input={**INPUT, "alignment": "box", "channels": "bgr"})
    settings = card(fused)
    write_card(folder, network(POOLED), metric="cosine")
    other = card(fused)
    labels = [before, weights, exchanged, settings, other]

    assert again == before
    assert len({label for _, label in labels}) == len(labels)
    assert len({engine_id for engine_id, _ in labels}) == len(labels)


def test_the_public_card_has_both_networks_and_no_path(folder: Path) -> None:
    card = select_card(settings_with(write_fused_card(folder)), calibrated=False)
    public = card.as_document()

    assert (card.dimensions, card.metric) == (256, "cosine")
    assert {file["name"]: file["sha256"] for file in public["files"]} == card.digests
    assert [(one["id"].partition("@")[0], one["weight"]) for one in public["settings"]["networks"]] == [
        ("sface", 0.7),
        ("ours", 0.3),
    ]
    assert sum("describes a face" in file["role"] for file in public["files"]) == 2
    assert public["depicted_people_agreed"] is False
    assert str(folder) not in json.dumps(public)


@pytest.mark.parametrize(
    ("weights", "changes", "reason"),
    [
        ((0.7, 0.2), {}, "the weights add up to 0.9, not to 1"),
        ((1.0, 0.0), {}, "networks.0.weight"),
        ((0.5, 0.5), {"id": "sface"}, "sface is an engine of Mien"),
        ((0.5, 0.5), {"networks": [{"card": "sface", "weight": 1}]}, "networks"),
        ((0.5, 0.5), {"networks": [{"card": "sface", "weight": 0.5}] * 2}, "both are sface"),
        (
            (0.5, 0.5),
            {"networks": [{"card": "sface", "weight": 0.5}, {"card": "none.json", "weight": 0.5}]},
            "no none.json beside it; name sface",
        ),
        (
            (0.5, 0.5),
            {"networks": [{"card": "sface", "weight": 0.5}, {"card": "../a", "weight": 0.5}]},
            "networks.1.card",
        ),
        ((0.5, 0.5), {"licence": "MIT"}, "licence: Extra inputs"),
    ],
)
def test_an_unusable_card_is_refused_with_the_reason(
    folder: Path, weights: tuple[float, float], changes: dict[str, Any], reason: str
) -> None:
    message = refusal(write_fused_card(folder, weights, **changes))

    assert reason in message
    assert "docs/how-to/use-your-own-engine.md" in message


def test_only_cosine_distances_are_added(folder: Path) -> None:
    fused = write_fused_card(folder)
    write_card(folder, network(POOLED))

    assert "card.json has the metric l2; only cosine distances can be added" in refusal(fused)


def test_a_calibration_of_other_weights_is_refused(folder: Path) -> None:
    settings = calibrate(write_fused_card(folder))
    assert select_card(settings).calibration.points
    write_fused_card(folder, (0.6, 0.4))

    with pytest.raises(CustomEngineError, match="other settings than the card's"):
        select_card(settings)


def test_a_network_without_a_usable_vector_makes_the_photo_unusable(
    folder: Path, image: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load(write_fused_card(folder))
    _, second = engine._networks[1]
    assert isinstance(second, OnnxEngine)
    pipeline.warm_up(engine, MAX_PIXELS)
    monkeypatch.setattr(second, "embed", lambda *_: [0.0] * second.dimensions)

    assert pipeline.measure(engine, image(PORTRAIT), keep_photo=False, max_pixels=MAX_PIXELS) == Flaw.BROKEN


def test_a_subject_enrols_is_verified_and_exports_with_two_networks(
    root: Path, folder: Path, image: Callable[[str], bytes]
) -> None:
    pool, card = create_engine(calibrate(write_fused_card(folder), engine_workers=1))
    pool.start()
    with serving(root, SharedPool(pool), card) as service:
        person, party = service.person(), service.party()
        consent = service.consent(person, party)
        enrolled = enrol(person, [consent["consent_id"]], [image(PORTRAIT), image(SELFIE)])
        same = party.verify(consent["subject_ref"], image("people/P001/emo_happy.jpg")).json()
        other = party.verify(consent["subject_ref"], image(OTHER)).json()
        files = unzipped(person("GET", "/v1/me/export").content)
        public = service.client.get("/v1/engine").json()
    pool.close()

    assert enrolled.status_code == 201, enrolled.text
    assert (same["decision"], other["decision"]) == ("match", "no_match")
    (template,) = [json.loads(content) for name, content in files.items() if name.startswith("templates/")]
    assert (template["engine"], template["weights_sha256"]) == (card.id, card.weights_sha256)
    assert (template["form"], len(template["vector"])) == ("int8", 256)
    assert public["in_force"]["threshold"] > 0
