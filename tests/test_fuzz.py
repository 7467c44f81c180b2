"""The seeds and the rule of `make fuzz` without the fuzzer; a short run of `make schemathesis`."""

from pathlib import Path

import numpy as np
import pytest

from app.faces.engine import PHOTO_SIDE
from app.faces.flaws import Flaw
from app.faces.workers import decode
from fuzz import api, rule, seeds
from tests.architecture.source import ROOT
from tests.architecture.test_text import unpinned

SEEDS = sorted(seeds.CORPUS.iterdir())
REFUSED = {"bomb_iccp.png", "bomb_ztxt.png", "truncated.jpg", "truncated.png", "truncated.webp"}


@pytest.fixture(autouse=True)
def _hardened() -> None:
    decode.harden()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_the_rule_holds_for_every_seed(seed: Path) -> None:
    answer = rule.check(seed.read_bytes())

    if seed.name in REFUSED:
        assert answer is Flaw.BROKEN
    elif seed.name == "bomb_pixels.png":
        assert answer is Flaw.TOO_MANY_PIXELS
    elif seed.suffix == ".gif":
        assert answer is Flaw.UNSUPPORTED
    elif seed.name != "many_scans.jpg":
        assert isinstance(answer, decode.Picture)


def test_the_committed_seeds_are_complete_and_small() -> None:
    assert {seed.name for seed in SEEDS} == {name for name, _ in seeds.seeds()}
    assert sum(seed.stat().st_size for seed in SEEDS) < 60_000


@pytest.mark.parametrize(
    "answer",
    [
        Flaw.NO_FACE,
        None,
        decode.Picture(np.zeros((4, 4), np.uint8), 1.0),
        decode.Picture(np.zeros((4, 4, 3), np.float32), 1.0),
        decode.Picture(np.zeros((0, 4, 3), np.uint8), 1.0),
        decode.Picture(np.zeros((4, PHOTO_SIDE + 1, 3), np.uint8), 1.0),
        decode.Picture(np.zeros((4, 4, 3), np.uint8), 0.5),
        decode.Picture(np.zeros((4, 4, 3), np.uint8), float("nan")),
    ],
)
def test_a_broken_rule_is_found(answer: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode, "decode", lambda *_, **__: answer)

    with pytest.raises(rule.Finding):
        rule.check(b"")


def test_a_slow_picture_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rule, "MAX_CPU_S", -1)

    with pytest.raises(rule.Finding):
        rule.check(b"")


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_an_exception_that_decode_does_not_name_passes_through(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(decode, "decode", broken)

    with pytest.raises(error):
        rule.check(b"")


def test_the_one_exception_that_decode_names_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(decode, "decode", full)

    assert rule.check(b"") is Flaw.BROKEN


def test_the_fuzzer_is_pinned_by_hash() -> None:
    text = (ROOT / "requirements" / "fuzz.txt").read_text("utf-8")

    assert "atheris==" in text
    assert not unpinned(text)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_schemathesis_finds_nothing_in_any_role() -> None:
    assert api.main(["--max-examples", "3", "--no-color"]) == 0
