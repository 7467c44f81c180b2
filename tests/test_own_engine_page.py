"""`docs/own-engine.md` is run as it stands, and the command refuses an engine that cannot be used, leaving nothing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from app.faces.own_card import Feeding, OwnCard
from tests.architecture.source import ROOT
from tests.faces.brought import POOLED, bring, calibrate, network
from tests.test_cli import refused, started
from tests.test_rights_page import play

PAGE = ROOT / "docs" / "own-engine.md"


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    assert play(PAGE, tmp_path / "house", tmp_path, HERE=str(tmp_path / "here")) >= 2


def test_the_page_names_every_member() -> None:
    tables = " ".join(re.findall(r"^\| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE))

    assert not [name for name in (*OwnCard.model_fields, *Feeding.model_fields) if f"`{name}`" not in tables]


def gone(card: Path) -> None:
    card.unlink()


def without_calibration(card: Path) -> None:
    card.with_name("card.calibration.json").unlink()


def other_network(card: Path) -> None:
    card.with_name("our.onnx").write_bytes(b"another")


@pytest.mark.parametrize(
    ("spoilt", "reason"),
    [(gone, "no such file"), (without_calibration, "it has no calibration"), (other_network, "its SHA-256 is")],
)
def test_a_start_that_is_refused_leaves_nothing(tmp_path: Path, spoilt: Callable[[Path], None], reason: str) -> None:
    card = bring(tmp_path / "own", network(POOLED))
    calibrate(card)
    spoilt(card)
    new = tmp_path / "new"
    done = started(new, "serve", "--port", "0", MIEN_ENGINE=f"onnx:{card}")

    assert refused(done, reason), done.stderr
    assert not list(new.rglob("*.db"))
