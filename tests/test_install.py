"""The wheel holds every file of the program, and the installed command works from any directory."""

import json
import os
import re
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.architecture.source import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
    (built,) = folder.glob("mien-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the unpacked wheel only."""
    # A path that a URL or a configuration file would read otherwise.
    folder = tmp_path_factory.mktemp("installed") / "100%25 %(here)s ü"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def mien(installed: Path, folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the installed program in *folder*."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")}
    return subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(installed), "MIEN_DATA_DIR": str(folder / "data"), **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_migrations_notices_cards_pages_and_synthetic_faces(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())

    for folder in ("docs", "migrations", "notices"):
        shipped = {f"app/{path.relative_to(ROOT)}" for path in (ROOT / folder).rglob("*.*") if path.suffix != ".pyc"}
        assert shipped <= names
    for name in (
        "faces/cards/sface.json",
        "evaluation/report.html",
        "rights/export.html",
        "demo/faces/P001-selfie.jpg",
    ):
        assert f"app/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "migrations/", "notices/")) or ".pyc" in name]


def test_no_requirement_of_the_wheel_must_be_compiled(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (archive.read(name) for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    required = [line.lower() for line in message_from_bytes(metadata).get_all("Requires-Dist", [])]

    assert any(line.startswith("dlib-bin") for line in required)
    assert not [
        line for line in required if line.startswith(("dlib=", "dlib>", "face-recognition=")) and ";" not in line
    ]
    assert [line for line in required if line.startswith("matplotlib") and "extra == 'evaluate'" in line]


@pytest.mark.service
def test_an_error_of_the_installed_program_names_a_page_that_exists(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app", "migrate"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed), "MIEN_ENGINE": "none"},
        capture_output=True,
        text=True,
        check=False,
    )
    (page,) = re.findall(r"\((/.*\.md)\)", done.stderr)

    assert done.returncode == 1
    assert Path(page).is_relative_to(installed / "app" / "docs")
    assert Path(page).is_file()
    assert " ".join(str(installed).split()) in " ".join(
        mien(installed, tmp_path, "--help", COLUMNS="300").stdout.split()
    )


@pytest.mark.service
def test_the_installed_program_migrates_from_any_directory(installed: Path, tmp_path: Path) -> None:
    done = mien(installed, tmp_path, "migrate", "--json")

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["schema"] == "head"


@pytest.mark.slow
def test_the_installed_program_plays_the_whole_story_from_any_directory(installed: Path, tmp_path: Path) -> None:
    done = mien(installed, tmp_path, "demo")

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "all passed" in done.stdout
