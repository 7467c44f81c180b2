"""The commands of `docs/how-to/use-your-own-engine.md`, and the engines that are refused without leaving a file."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from app.faces.cards.custom_card import CustomCard, NetworkInput
from app.faces.cards.fused_card import FusedCard, FusedNetwork
from tests.architecture.source import ROOT
from tests.faces.custom_networks import POOLED, calibrate, network, write_card
from tests.support.launcher import refused, run_command
from tests.support.pages import check_page

pytestmark = pytest.mark.slow

PAGE = ROOT / "docs" / "how-to" / "use-your-own-engine.md"


def write_images(folder: Path) -> Path:
    """Write tinted copies of the photos as more people, since a trial of seven people supports no rate.

    The network confuses the copies, so its error rates are high.
    """
    for photo in sorted((ROOT / "tests" / "images" / "people").glob("*/*.jpg")):
        with Image.open(photo) as opened:
            whole = opened.convert("RGB").reduce(2)
        for number, tint in enumerate(("white", "wheat", "lavender")):
            person = folder / f"{photo.parent.name}-{number}"
            person.mkdir(parents=True, exist_ok=True)
            ImageChops.multiply(whole, Image.new("RGB", whole.size, tint)).save(person / photo.name)
    return folder


def test_the_commands_of_the_page_work(tmp_path: Path) -> None:
    environment = {
        "HERE": str(tmp_path / "here"),
        "IMAGES": str(write_images(tmp_path / "people")),
        "MIEN_TARGET_FMR": "0.3",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }

    service = tmp_path / "service"
    environment |= {"MIEN_DATA_DIR": str(service / "data"), "MIEN_KEYS_DIR": str(service / "keys")}

    assert check_page(PAGE, tmp_path, environment) == 5
    assert not list((tmp_path / "cache").rglob("measured*"))


def test_a_trial_that_supports_no_rate_keeps_its_measurements(tmp_path: Path) -> None:
    card = write_card(tmp_path / "own", network(POOLED))
    arguments = (
        "--origin",
        "a test",
        "--agreed",
        "unknown",
        "--out",
        str(tmp_path / "out"),
        "--cache",
        str(tmp_path / "c"),
    )
    done = run_command(
        tmp_path / "service",
        *("evaluate", str(ROOT / "tests" / "images" / "people"), "--calibrate", *arguments),
        MIEN_ENGINE=f"onnx:{card}",
    )

    assert done.returncode == 1
    assert "evaluate more people" in done.stderr
    assert "The measurements are kept" in done.stderr
    assert [one.name for one in (tmp_path / "c").iterdir()] == ["measured"]
    assert sorted(one.name for one in card.parent.iterdir()) == ["card.json", "our.onnx"]
    assert not (tmp_path / "service" / "keys").exists()


@pytest.mark.parametrize(
    ("arguments", "engine", "reason"),
    [
        ((), "sface", "sface ships with its calibration"),
        (("--pairs", "pairs.csv"), "onnx:card.json", "leave out --pairs"),
    ],
)
def test_an_impossible_calibration_is_refused_before_measuring(
    tmp_path: Path, arguments: tuple[str, ...], engine: str, reason: str
) -> None:
    stated = ("--origin", "a test", "--agreed", "yes", "--out", str(tmp_path / "out"))
    arguments = ("evaluate", str(tmp_path), "--calibrate", *arguments, *stated)
    done = run_command(tmp_path, *arguments, MIEN_ENGINE=engine, COLUMNS="300")

    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_page_documents_every_member() -> None:
    tables = " ".join(re.findall(r"^\| (.*?) \|", PAGE.read_text("utf-8"), re.MULTILINE))

    fields = {name for kind in (CustomCard, NetworkInput, FusedCard, FusedNetwork) for name in kind.model_fields}

    assert not [name for name in fields if f"`{name}`" not in tables]


def remove_card(card: Path) -> None:
    card.unlink()


def remove_calibration(card: Path) -> None:
    card.with_name("card.calibration.json").unlink()


def replace_network(card: Path) -> None:
    card.with_name("our.onnx").write_bytes(b"another")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(remove_card, "no such file"), (remove_calibration, "it has no calibration"), (replace_network, "its SHA-256 is")],
)
def test_a_refused_start_leaves_no_store(tmp_path: Path, spoil: Callable[[Path], None], reason: str) -> None:
    card = write_card(tmp_path / "own", network(POOLED))
    calibrate(card)
    spoil(card)
    new = tmp_path / "new"
    done = run_command(new, "serve", "--port", "0", MIEN_ENGINE=f"onnx:{card}")

    assert refused(done, reason), done.stderr
    assert not list(new.rglob("*.db"))
