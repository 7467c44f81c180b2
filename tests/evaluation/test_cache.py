"""The cache has no image and no name, survives a kill, and is deleted at the end."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.cli import evaluate as evaluating
from app.evaluation import cache
from app.evaluation.cache import Cache
from app.evaluation.errors import EvaluationError
from app.faces.flaws import Flaw
from app.faces.permit import PhotoUse
from app.faces.workers.pool import EnginePool
from tests.architecture.source import ROOT
from tests.evaluation.conftest import Command
from tests.support.service_fixture import SharedPool
from tests.support.toy_engine import SPEC, toy_card

VECTOR = np.linspace(-1, 1, 128)
Evaluated = Callable[..., dict[str, Any]]


def filled(directory: Path, images: int = 3) -> Path:
    """Cache a vector and refusals; return the file."""
    with Cache(directory, toy_card()) as kept:
        kept.add(kept.key(b"image 0", PhotoUse.PROBE), VECTOR)
        for number in range(1, images):
            kept.add(kept.key(b"image %d" % number, PhotoUse.PROBE), Flaw.NO_FACE)
        return kept.path


def found(directory: Path, *images: bytes, **changes: Any) -> list[Any]:
    """Return the cached outcomes of *images* in a new evaluation."""
    with Cache(directory, replace(toy_card(), **changes)) as kept:
        return [kept.find(kept.key(image, PhotoUse.PROBE)) for image in images]


def test_an_outcome_is_found_for_the_same_bytes_and_the_same_engine(tmp_path: Path) -> None:
    filled(tmp_path / "c")

    vector, flaw, other = found(tmp_path / "c", b"image 0", b"image 1", b"image 9")

    assert np.array_equal(vector, VECTOR), "exactly"
    assert (flaw, other) == (Flaw.NO_FACE, None)
    for change in ({"id": "another"}, {"weights_sha256": "0" * 64}, {"pipeline": "another"}):
        assert found(tmp_path / "c", b"image 0", **change) == [None], change


def test_only_the_owner_can_read_the_cache(tmp_path: Path) -> None:
    file = filled(tmp_path / "a" / "c")

    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    file.parent.chmod(0o750)
    with pytest.raises(EvaluationError, match="chmod 700"), Cache(file.parent, toy_card()):
        pass
    link = tmp_path / "b"
    link.mkdir(mode=0o700)
    (link / cache.FILE).symlink_to(file)
    with pytest.raises(OSError, match="symbolic"), Cache(link, toy_card()):
        pass


def test_a_second_evaluation_is_refused_until_the_first_ends(tmp_path: Path) -> None:
    with Cache(tmp_path / "c", toy_card()):
        with pytest.raises(EvaluationError, match="another evaluation"), Cache(tmp_path / "c", toy_card()):
            pass
        assert (tmp_path / "c" / cache.FILE).exists()
    assert found(tmp_path / "c", b"x") == [None]


def test_an_incomplete_line_is_skipped_and_the_next_is_added(tmp_path: Path) -> None:
    whole = filled(tmp_path / "whole").read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(lines[0]), len(whole)):
        directory = tmp_path / "cut"
        directory.mkdir(mode=0o700, exist_ok=True)
        (directory / cache.FILE).write_bytes(whole[:cut])

        with Cache(directory, toy_card()) as kept:
            kept.add(kept.key(b"next", PhotoUse.PROBE), Flaw.BLURRED)
        vector, one, two, after = found(directory, b"image 0", b"image 1", b"image 2", b"next")

        ends = np.cumsum([len(line) for line in lines])
        assert np.array_equal(vector, VECTOR)
        assert (one is not None, two is not None) == (cut >= ends[1], cut >= ends[2])
        assert after is Flaw.BLURRED


@pytest.mark.parametrize("place", [0, 9, 40, 80, 120, 900, 1400])
def test_a_damaged_line_is_skipped(tmp_path: Path, place: int) -> None:
    file = filled(tmp_path / "c")
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)

    vector, flaw, _ = found(tmp_path / "c", b"image 0", b"image 1", b"image 2")

    assert (vector is None, flaw) == (True, Flaw.NO_FACE)


def test_the_cache_has_no_image_no_path_and_no_name(folder: Path, command: Command, cached: Path) -> None:
    result = command(folder, "--keep-cache")

    content = (cached / cache.FILE).read_bytes()
    assert result.exit_code == 0, result.output
    assert f"rm {cached / cache.FILE}" in result.stderr
    assert content.count(b"\n") == 30
    for word in (b"person", b"trial", b"png", b"\x89PNG", b"IHDR", str(folder).encode()):
        assert word not in content
    assert not [image for image in folder.glob("*/*.png") if image.read_bytes()[8:64] in content]


def test_the_cache_is_deleted_at_the_end_or_reused_if_kept(
    folder: Path, evaluated: Evaluated, cached: Path, pool: SharedPool
) -> None:
    first = evaluated(folder)
    assert not cached.exists(), "the directory too"

    kept = evaluated(folder, "--keep-cache")
    pool.before = lambda: pytest.fail("a worker measured a cached image")
    again = evaluated(folder)

    timeless = {"speed": None}
    assert first | timeless == kept | timeless == again | timeless
    assert (kept["speed"]["measured"], kept["speed"]["from_cache"]) == (30, 0)
    assert (again["speed"]["measured"], again["speed"]["from_cache"]) == (0, 30)
    assert not cached.exists()


def test_the_cache_is_deleted_if_no_image_has_a_face(
    folder: Path, command: Command, cached: Path, tmp_path: Path
) -> None:
    for image in folder.glob("*/*.png"):
        image.write_bytes(b"no image")

    result = command(folder)

    assert result.exit_code == 1
    assert "0 of 10 images gave a face (unsupported-image 10)" in result.stderr
    assert "Traceback" not in result.output
    assert not cached.exists()
    assert not (tmp_path / "report").exists()


@contextmanager
def running(folder: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run an evaluation in another process until the end of the block."""
    words = [sys.executable, "-m", "tests.evaluation.killed_run", folder, tmp_path / "report", tmp_path / "kept"]
    with subprocess.Popen(
        [str(word) for word in words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def wait_for(process: subprocess.Popen[str], images: int) -> None:
    """Wait until *images* images are cached."""
    assert process.stdout is not None
    for _ in range(images):
        assert process.stdout.readline() == "kept\n"


def test_a_killed_evaluation_resumes(folder: Path, evaluated: Evaluated, tmp_path: Path) -> None:
    file = tmp_path / "kept" / cache.FILE
    with running(folder, tmp_path) as process:
        wait_for(process, 7)
        process.send_signal(signal.SIGKILL)
        process.wait()
    lines = file.read_bytes().count(b"\n")
    with file.open("ab") as torn:
        torn.write(file.read_bytes()[:70])  # as left by a kill during a write

    document = evaluated(folder, "--cache", file.parent)

    assert 7 <= lines < 30
    assert document["speed"]["from_cache"] == lines
    assert document["speed"]["measured"] == 30 - lines
    assert document | {"speed": None} == evaluated(folder) | {"speed": None}
    assert not file.exists()
    assert not (tmp_path / "report" / "evaluation.html.part").exists()


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_evaluation_names_the_cache_and_how_to_delete_it(
    folder: Path, tmp_path: Path, by: signal.Signals
) -> None:
    with running(folder, tmp_path) as process:
        wait_for(process, 3)
        process.send_signal(by)
        _, printed = process.communicate(timeout=300)

    file = tmp_path / "kept" / cache.FILE
    assert process.returncode == 1
    assert printed == (
        f"mien: interrupted. The measurements are kept: the same command continues from them; to delete: rm {file}\n"
    )
    assert file.exists()
    assert not (tmp_path / "report").exists()


def test_an_engine_that_does_not_load_is_reported_and_leaves_no_file(
    folder: Path, command: Command, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(toy_card(), digests={"toy_engine.py": "0" * 64})
    pool = EnginePool(engine=SPEC, card=other, workers=1, queue=200, timeout_s=10, memory_bytes=1 << 30)
    monkeypatch.setattr(evaluating, "create_engine", lambda _settings, **_: (pool, other))

    result = command(folder)

    assert (result.exit_code, result.stdout) == (1, "")
    reason = "a file of the engine's weights is not the one on its card"
    assert result.stderr == f"mien: the engine toy cannot be used: {reason}\n"
    assert not cached.exists()
    assert not (tmp_path / "report").exists()


def test_a_report_that_cannot_be_written_keeps_the_cache(
    folder: Path, command: Command, cached: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("app.kit.files.os.fsync", full)
    result = command(folder)

    assert result.exit_code == 1
    assert "there is no space left for a file" in result.stderr
    assert "The measurements are kept" in result.stderr
    assert (cached / cache.FILE).exists()
    assert not list((tmp_path / "report").iterdir())
    assert result.stdout == ""


def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.default_directory() == tmp_path / "mien-evaluate"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.default_directory() == Path.home() / ".cache" / "mien-evaluate"
