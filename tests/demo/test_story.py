"""The whole story, played against the real service, as `make demo` plays it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

pytestmark = pytest.mark.slow

STORY_S = 580
"""Seconds for the whole story, which takes half a minute on an idle machine."""
WRONG_PHOTO = """
import sys
from rich.console import Console
from app.demo.people import StoryPhotos
from app.demo.story import play

photos = StoryPhotos(ada_at_the_door="P003-front.jpg")
sys.exit(0 if play(console=Console(), photos=photos) else 1)
"""


def run(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in the project's directory, with its temporary files in *temporary*."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=STORY_S,
        check=False,
    )


def test_every_step_passes(tmp_path: Path) -> None:
    played = run("-m", "app", "demo", temporary=tmp_path)

    assert played.returncode == 0, played.stdout + played.stderr
    assert "all passed" in played.stdout
    assert "✘" not in played.stdout
    assert not list(tmp_path.iterdir()), "all files are removed"


def test_a_failed_step_ends_the_story(tmp_path: Path) -> None:
    played = run("-c", WRONG_PHOTO, temporary=tmp_path)

    assert played.returncode == 1, played.stdout + played.stderr
    assert "✘ the decision is match" in played.stdout
    assert "result:   no_match" in played.stdout
    assert "The end of the service's application log:" in played.stdout
    assert "all passed" not in played.stdout
    assert not list(tmp_path.iterdir()), "all files are removed"
