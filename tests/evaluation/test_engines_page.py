"""`docs/explanation/engines.md`: its commands print the shown output, and its figures come from the cards."""

import re
from pathlib import Path

import pytest

from app.evaluation import card_plots
from app.faces.cards.card import shipped_cards
from tests.architecture.source import ROOT
from tests.support.pages import check_page

PAGE = ROOT / "docs" / "explanation" / "engines.md"
FIGURES = sorted((ROOT / "docs" / "explanation" / "engines").glob("*.svg"))


@pytest.mark.slow
def test_every_command_prints_the_output_on_the_page(tmp_path: Path) -> None:
    text = PAGE.read_text("utf-8")
    page = tmp_path / "engines.md"
    page.write_text(text.replace("build/plots", str(tmp_path / "plots")), "utf-8")
    ran = check_page(page, tmp_path, {"MIEN_DATA_DIR": str(tmp_path / "data"), "COLUMNS": "80"})

    assert ran >= 6
    assert {one.name for one in (tmp_path / "plots").iterdir()} == {one.name for one in FIGURES}


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.stem)
def test_every_figure_is_drawn_from_the_cards(figure: Path) -> None:
    drawn = card_plots.figures(shipped_cards())

    assert figure.read_text("utf-8") == drawn[figure.stem]
    assert len(drawn) == len(FIGURES) == 4


def test_every_link_and_every_named_test_exists() -> None:
    text = PAGE.read_text("utf-8")

    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (PAGE.parent / link).exists(), link
    for path in re.findall(r"ARGS=(tests/\w+(?:/\w+\.py)?)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("word", ["compliant", "guarantee", "certified", "secure"])
def test_the_page_promises_nothing(word: str) -> None:
    assert word not in PAGE.read_text("utf-8").lower()
