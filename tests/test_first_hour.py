"""The commands of `docs/tutorials/first-hour.md` and of README work on a new service, as a reader runs them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.source import ROOT
from tests.support.launcher import run_program
from tests.support.pages import check_page
from tests.support.service_fixture import copied

TUTORIAL = ROOT / "docs" / "tutorials" / "first-hour.md"
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def environment(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Serve with an empty data store; return the variables of a shell that talks to the service."""
    root = copied(prepared, tmp_path_factory.mktemp("first-hour") / "service")
    with run_program(root, MIEN_LOG_INTERVAL="1") as running:
        yield {
            "MIEN_DATA_DIR": str(root / "data"),
            "MIEN_KEYS_DIR": str(root / "keys"),
            "API": str(running.client.base_url).rstrip("/"),
        }


def test_the_tutorial_prints_its_answers(environment: dict[str, str], tmp_path: Path) -> None:
    assert check_page(TUTORIAL, tmp_path, environment, times=2) > 15


def test_readme_ends_with_a_match_and_an_erasure(environment: dict[str, str], tmp_path: Path) -> None:
    text = README.read_text("utf-8").replace("API=http://127.0.0.1:8000 ", "").replace(".venv/bin/mien", "mien")
    page = tmp_path / "README.md"
    page.write_text(
        text.replace("\n```\n\n[Your first hour]", '\n```\n\n```text\n…"match"…"completed"…\n```\n'), "utf-8"
    )

    assert check_page(page, tmp_path, environment, times=2) == 1


def test_readme_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 130
