"""Folders of toy people, and the command on the toy engine."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from app.cli import evaluate as evaluating
from app.cli.program import app
from app.faces.cards.card import Card
from app.faces.permit import ImageStatement, PhotoUse
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.settings import Settings
from tests.support import toy_engine
from tests.support.service_fixture import SharedPool
from tests.support.toy_faces import toy_photo

STATED = ("--origin", "drawn for a test", "--agreed", "yes")

MakeFolder = Callable[..., Path]
Command = Callable[..., Result]


def make_folder(root: Path, people: Mapping[str, Sequence[bytes]], groups: Mapping[str, str] | None = None) -> Path:
    """Write a folder for each person, and `groups.csv`."""
    for name, images in people.items():
        (root / name).mkdir(parents=True)
        for number, image in enumerate(images):
            (root / name / f"{number}.png").write_bytes(image)
    if groups is not None:
        with (root / "groups.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("person", "group"), *groups.items()])
    return root


def toy_people(people: int, images: int) -> dict[str, list[bytes]]:
    """Return photos by person; some people are nearer to each other than others."""
    return {
        f"person {one:02}": [toy_photo(one, variant=n * 9 // max(images - 1, 1)) for n in range(images)]
        for one in range(people)
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten people with three images each; nine of them are in two groups."""
    people = toy_people(10, 3)
    groups = dict(zip(people, "FMFMFMFMF", strict=False))
    return make_folder(tmp_path / "trial", people, groups)


@pytest.fixture
def command(pool: SharedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `mien evaluate` in this process, with the toy engine and a cache of its own."""

    def engine(_settings: Settings, *, calibrated: bool) -> tuple[EnginePool, Card]:
        assert not calibrated  # measuring needs no calibration
        return pool, toy_engine.toy_card()

    monkeypatch.setattr(evaluating, "create_engine", engine)

    def run(*arguments: str | Path, stated: Sequence[str] = STATED, **more: str) -> Result:
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), **more}
        words = ["evaluate", *map(str, arguments), *stated]
        if "--out" not in words:
            words += ["--out", str(tmp_path / "report")]
        return CliRunner(env=environment).invoke(app, words)

    return run


@pytest.fixture
def evaluated(command: Command) -> Callable[..., dict[str, Any]]:
    """Run the command, and return the object that it prints."""

    def run(*arguments: str | Path, **more: Any) -> dict[str, Any]:
        result = command(*arguments, "--json", "--force", **more)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    return run


@pytest.fixture
def vectors(pool: SharedPool) -> Callable[[Path], tuple[float, ...]]:
    """Measure one file without the evaluation."""

    def measure(path: Path) -> tuple[float, ...]:
        stated = ImageStatement(origin="a test", agreed="yes")
        (answer,) = pool.measure_for_evaluation(stated, [path.read_bytes()], PhotoUse.PROBE)
        assert isinstance(answer, Measurement)
        return answer.vector

    return measure


@pytest.fixture
def cached(tmp_path: Path) -> Path:
    """The default cache directory in these tests."""
    return tmp_path / "cache" / "mien-evaluate"
