"""`mien evaluate`: it needs a statement, overwrites no report, opens no store, and prints JSON or lines."""

import html
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from app.cli.program import app
from app.evaluation.cache import Cache
from app.faces.cards.card import load_card
from app.faces.cards.operating_point import choose_operating_point
from app.faces.permit import PhotoUse
from app.settings import Settings
from tests.architecture.source import ROOT
from tests.evaluation.conftest import Command, make_folder, toy_people
from tests.evaluation.plain_loops import Images
from tests.evaluation.test_numbers import compare, compare_people
from tests.support.service_fixture import SharedPool
from tests.support.toy_faces import toy_photo

Evaluated = Callable[..., dict[str, Any]]


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ((), "where the images came from"),
        (("--origin", "a shelf"), "whether the people in them agreed"),
        (("--agreed", "yes"), "where the images came from"),
        (("--origin", " \n", "--agreed", "yes"), "the statement is empty"),
        (("--origin", "a\x1b[2Jb", "--agreed", "yes"), "Leave out control characters"),
        (("--origin", "x" * 2001, "--agreed", "yes"), "longer than 2000 characters"),
        (("--origin", "a shelf", "--agreed", "perhaps"), "'perhaps' is not one of"),
    ],
)
def test_without_a_statement_no_image_reaches_a_worker(
    command: Command, folder: Path, pool: SharedPool, tmp_path: Path, stated: tuple[str, ...], reason: str
) -> None:
    pool.before = lambda: pytest.fail("an image reached a worker")

    result = command(folder, stated=stated, COLUMNS="500")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage:" in result.stderr
    assert reason in result.stderr
    assert not (tmp_path / "cache").exists()
    assert not (tmp_path / "report").exists()


@pytest.mark.slow
def test_on_a_terminal_the_command_asks_for_the_statement(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "trial", {"a": [b"x"], "b": [b"y"]})
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "app", "evaluate", folder, "--out", tmp_path / "report", "--cache", tmp_path / "c"]
    with subprocess.Popen(
        [str(word) for word in words], cwd=ROOT, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(theirs)
        os.write(ours, b"a shelf\nperhaps\nyes\n")
        answer, printed = process.communicate(timeout=300)
        os.close(ours)

    assert "Where did these images come from?" in printed
    assert "Did the people in them agree to this use? (yes, no or unknown)" in printed
    assert "0 of 2 images gave a face" in printed
    assert (process.returncode, answer) == (1, "")


def test_the_statement_is_at_the_top_of_both_files(evaluated: Evaluated, folder: Path, tmp_path: Path) -> None:
    stated = ("--origin", " a shelf\n in <b>Graz</b> ", "--agreed", "no")
    document = evaluated(folder, stated=stated)

    page = (tmp_path / "report" / "evaluation.html").read_text("utf-8")
    assert next(iter(document)) == "statement"
    assert document["statement"] == {"origin": "a shelf in <b>Graz</b>", "people_agreed": "no"}
    assert document["warnings"][0] == "The people in these images did not agree to this use."
    assert "a shelf in &lt;b&gt;Graz&lt;/b&gt;" in page
    assert page.index("a shelf in") < page.index("<h2")
    assert (
        "a shelf in <b>Graz</b>. The operator states that the people in it did not agree"
        in document["calibration"]["trial"]["note"]
    )


def test_the_printed_object_equals_the_file(command: Command, folder: Path, tmp_path: Path) -> None:
    result = command(folder, "--json")

    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 1
    assert json.loads(result.stdout) == json.loads((tmp_path / "report" / "evaluation.json").read_text("utf-8"))
    assert result.stderr == ""


def test_without_json_the_output_is_readable_lines(command: Command, folder: Path, tmp_path: Path) -> None:
    result = command(folder)

    assert result.exit_code == 0, result.output
    lines = dict(line.split("  ", 1) for line in result.stdout.splitlines())
    assert lines["People"].strip() == "10"
    page = html.unescape(re.sub(r"<[^>]*>", "\n", (tmp_path / "report" / "evaluation.html").read_text("utf-8")))
    for label, line in list(lines.items())[:-3]:
        assert label.removeprefix("Threshold ").removesuffix(", over people") in page
        for part in re.split(r"; | \(|\)|, FNMR |FMR ", line.strip()):
            assert part in page, f"the page does not say {part!r}"


def test_the_threshold_in_force_has_its_row_although_no_pair_matches_there(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    result = command(folder, MIEN_TARGET_FMR="0.001")
    document = json.loads((tmp_path / "report" / "evaluation.json").read_text("utf-8"))

    (row,) = [one for one in document["at"] if one["in_force"]]
    assert row["threshold"] == choose_operating_point(load_card("face_recognition"), Settings()).threshold
    assert row["threshold"] not in [one["threshold"] for one in document["calibration"]["table"]]
    pairs = document["calibration"]["impostor_pairs"]
    assert f"Threshold {row['threshold']} (in force)" in result.stdout
    assert f"FMR fewer than 3 in {pairs}" in result.stdout
    assert str(tmp_path / "report" / "evaluation.html") in result.stdout
    assert "mien: warning: Few people: 10" in result.stderr


def test_a_report_is_replaced_only_with_force(command: Command, folder: Path, tmp_path: Path, pool: SharedPool) -> None:
    assert command(folder).exit_code == 0
    before = (tmp_path / "report" / "evaluation.json").read_bytes()
    pool.before = lambda: pytest.fail("an image reached a worker")
    refused = command(folder, "--seed", "3")
    pool.reset()

    assert refused.exit_code == 1
    assert "has evaluation.json already; name another with --out, or add --force" in refused.stderr
    assert (tmp_path / "report" / "evaluation.json").read_bytes() == before
    assert command(folder, "--seed", "3", "--force").exit_code == 0
    assert (tmp_path / "report" / "evaluation.json").read_bytes() != before


def test_bad_input_is_refused_in_one_line(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        ((tmp_path / "nothing",), "there is no"),
        ((tmp_path / "file",), "is no folder"),
        ((folder, "--pairs", tmp_path / "nothing.csv"), "nothing.csv cannot be read: No such file"),
        ((folder, "--out", tmp_path / "file"), "is not a directory"),
        ((folder, "--most-images", "5"), "more than 5 images"),
        ((folder, "--name", "a\x1bb"), "the name of the trial"),
        ((folder, "--cache", tmp_path / "file"), "your own directory"),
    ]
    for words, reason in cases:
        result = command(*words)

        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (1, "", 1), result.output
        assert reason in result.stderr
    for words in ((folder, "--workers", "0"), (folder, "--resamples", "1"), ()):
        assert command(*words).exit_code == 2
    assert not (tmp_path / "report").exists()
    assert not (tmp_path / "cache").exists()


def test_no_store_is_opened_and_no_photo_is_returned(
    command: Command, folder: Path, tmp_path: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[tuple[object, object]] = []
    measure = pool.measure_for_evaluation

    def watched(stated: Any, images: Any, use: Any) -> Any:
        answers = measure(stated, images, use)
        measured.extend((stated, answer) for answer in answers)
        return answers

    monkeypatch.setattr(pool, "measure_for_evaluation", watched)
    data, keys = tmp_path / "data", tmp_path / "keys"

    result = command(folder, MIEN_DATA_DIR=str(data), MIEN_KEYS_DIR=str(keys))

    assert result.exit_code == 0
    assert len(measured) == 30
    assert {type(stated).__name__ for stated, _ in measured} == {"ImageStatement"}
    assert {getattr(answer, "photo", None) for _, answer in measured} == {None}
    assert not data.exists()
    assert not keys.exists()


def test_the_number_of_workers_is_the_option_or_that_of_the_cores(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class EngineCreatedError(Exception):
        pass

    seen = []

    def engine(settings: Any, *, calibrated: bool) -> Any:
        seen.append((settings.engine_workers, settings.engine_queue >= settings.engine_workers))
        raise EngineCreatedError

    monkeypatch.setattr("app.cli.evaluate.create_engine", engine)
    for words in ((), ("--workers", "3")):
        common = ["evaluate", str(folder), "--origin", "x", "--agreed", "yes", "--out", str(tmp_path / "r")]
        result = CliRunner().invoke(app, [*common, *words])
        assert isinstance(result.exception, EngineCreatedError)

    assert seen == [(len(os.sched_getaffinity(0)), True), (3, True)]


@pytest.mark.slow
def test_the_real_program_with_the_default_engine_agrees_with_plain_loops(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "app",
                "evaluate",
                "tests/images/people",
                "--origin",
                "synthetic",
                "--agreed",
                "yes",
            ),
            *("--out", str(tmp_path / "report"), "--cache", str(tmp_path / "c"), "--json", "--keep-cache"),
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["engine"]["id"], document["engine"]["metric"]) == ("face_recognition", "l2")
    assert document["acquisition"]["people"] == 7
    assert document["acquisition"]["measured"] == document["acquisition"]["images"] == 18
    assert document["acquisition"]["failure_to_acquire"]["images"] == 0
    # docs/explanation/faces.md: portrait and selfie of one person are 0.34 to 0.45 apart; P004 and P006 are as near.
    genuine = document["histograms"]["genuine"]
    assert sum(genuine[45:]) <= 4
    assert document["calibration"]["table"][0]["false_matches"] >= 3
    assert document["speed"]["images_a_second_a_worker"] > 0
    files = sorted((ROOT / "tests" / "images" / "people").glob("*/*.jpg"))
    with Cache(tmp_path / "c", load_card("face_recognition")) as kept:
        vectors = [kept.find(kept.key(file.read_bytes(), PhotoUse.ENROLMENT)) for file in files]
    plain = [tuple(map(float, vector)) for vector in vectors if isinstance(vector, np.ndarray)]
    images = Images(plain, [file.parent.name for file in files], {})
    compare(document, images)
    compare_people(document, images)


def test_names_in_every_script_work_and_are_in_no_report(evaluated: Evaluated, tmp_path: Path) -> None:
    people = {f"Zoë {name}": images for name, images in toy_people(5, 3).items()}
    people["日本 人"] = [toy_photo(40), toy_photo(40, variant=2)]
    document = evaluated(make_folder(tmp_path / "Ordner 1", people, {"日本 人": "日本", "Zoë person 00": "älter"}))

    page = (tmp_path / "report" / "evaluation.html").read_text("utf-8")
    assert document["groups"]["people"] == {"älter": 1, "日本": 1}
    assert "älter/日本" in document["groups"]["impostor_pairs"]
    for name in people:
        assert name not in page
        assert name not in json.dumps(document, ensure_ascii=False)
    assert "Ordner" not in page
    assert ".png" not in page
