"""The story is played against the real service, from outside, as `make demo` plays it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source import ROOT

pytestmark = pytest.mark.slow

PLAYED_S = 580
"""Seconds for the whole story, which takes half a minute on a machine that does nothing else."""
PLAY_WITH_A_WRONG_PHOTO = """
import sys
from rich.console import Console
from app.demo.people import Cast
from app.demo.story import play

cast = Cast(ada_at_the_door="P003-front.jpg")
sys.exit(0 if play(console=Console(), cast=cast) else 1)
"""


def run(*arguments: str, temporary: Path) -> subprocess.CompletedProcess[str]:
    """Run Python from the project's directory, its temporary files in a directory of their own."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        timeout=PLAYED_S,
        check=False,
    )


def test_every_step_of_the_story_holds(tmp_path: Path) -> None:
    played = run("-m", "app", "demo", temporary=tmp_path)

    assert played.returncode == 0, played.stdout + played.stderr
    assert "all held" in played.stdout
    assert "✘" not in played.stdout
    assert not list(tmp_path.iterdir()), "what the service wrote is removed"


def test_a_step_that_does_not_hold_ends_the_story(tmp_path: Path) -> None:
    played = run("-c", PLAY_WITH_A_WRONG_PHOTO, temporary=tmp_path)

    assert played.returncode == 1, played.stdout + played.stderr
    assert "✘ the decision is match" in played.stdout
    assert "came:     no_match" in played.stdout
    assert "The service's log ends:" in played.stdout
    assert "all held" not in played.stdout
    assert not list(tmp_path.iterdir()), "what the service wrote is removed"
