"""The commands of `docs/rights.md` run in one shell, and print the output shown on the page."""

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.support.launcher import run_program
from tests.support.pages import Block, blocks, check_page, fits

PAGE = ROOT / "docs" / "rights.md"
GDPR = ["4(14)", "5", "6", "7", "9", "12", "13", "14", "15", "16", "17", "18", "19", "20", "21", "25", "30", "32", "33"]


@pytest.mark.slow
def test_the_commands_of_the_page_print_the_shown_output(root: Path, tmp_path: Path) -> None:
    with run_program(root) as running:
        environment = {
            "MIEN_DATA_DIR": str(root / "data"),
            "MIEN_KEYS_DIR": str(root / "keys"),
            "API": str(running.client.base_url).rstrip("/"),
        }
        ran = check_page(PAGE, tmp_path, environment)

    assert ran > 25


def test_every_article_has_a_heading_and_every_link_exists() -> None:
    text = PAGE.read_text("utf-8")
    headings = " ".join(re.findall(r"^#+ (.*)$", text, re.MULTILINE))

    assert [one for one in GDPR if not re.search(rf"\b{re.escape(one)}(?!\d)", headings)] == []
    for named in ("BIPA", "three types", "Opinion 11/2024", "5(1)(e)", "Clearview"):
        assert named in headings
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert (PAGE.parent / link).exists(), link
    for path in re.findall(r"ARGS=(tests/\S+\.py)", text):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("word", ["compliant", "guarantee", "certified", "100 %"])
def test_the_page_promises_nothing(word: str) -> None:
    assert word not in PAGE.read_text("utf-8").lower()


def test_a_different_output_is_found() -> None:
    assert fits("a b c\n", "a … c")
    assert not fits("a b d\n", "a … c")
    assert not fits("", "a")
    assert blocks("```bash\nx\n```\n\n```text\ny\n```\n\n```bash\nz\n```\n") == [Block("x\n", "y\n"), Block("z\n", "")]
