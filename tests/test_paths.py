"""A path in a setting or an argument is taken to the letter, also where SQLite or a URL would read more into it."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from app.cli.errors import DATABASE_STEPS, SENTENCES, error_text
from tests.support.launcher import refused, run_here

pytestmark = pytest.mark.service
NAMES = [
    "p%20c",
    "q?x=1",
    "a#b",
    "two words",
    "ünï\N{SNOWMAN}",
    "file:x",
    "%(here)s",
    "?mode=memory",
    ":memory:",
    "a\nb",
]


@pytest.mark.parametrize("name", NAMES)
def test_the_stores_are_in_the_directory_that_was_named(tmp_path: Path, name: str) -> None:
    root = tmp_path / name
    settings = {"MIEN_KEK_FILE": str(root / "secret" / name)}
    (root / "secret").mkdir(parents=True)
    for words in (["migrate"], ["backup", root / "backup"], ["restore", root / "backup"], ["sweep"]):
        result = run_here(root, *words, **settings)

        assert result.exit_code == 0, result.output
    found = {str(file.relative_to(root)) for file in tmp_path.rglob("*") if file.is_file()}
    assert {"data/mien.db", "keys/register.db", "backup/mien.db", f"secret/{name}"} <= found
    assert [one.name for one in tmp_path.iterdir()] == [name], "nothing is beside it"


@pytest.mark.parametrize("variable", ["MIEN_DATA_DIR", "MIEN_KEYS_DIR", "MIEN_KEK_FILE"])
def test_a_blank_path_is_refused(root: Path, variable: str) -> None:
    assert refused(run_here(root, "migrate", **{variable: " "}), f"{variable}: it is blank")


def test_a_wrong_path_is_refused_in_one_sentence(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    jwks = ["--jwks", "x"]
    for words, reason in (
        (["notice", "publish", "missing.md"], "missing.md does not exist: check the path"),
        (["notice", "publish", tmp_path], "is a directory: name a file"),
        (["verify-receipt", tmp_path, *jwks], "is a directory: name a file"),
        (["verify-receipt", file / "inside", *jwks], "leads through a file"),
        (["engines", "plot", file / "inside"], "leads through a file"),
        (["backup", file / "inside"], "file already exists: name another path"),
        (["evaluate", tmp_path / "none", "--origin", "a", "--agreed", "yes"], "none"),
    ):
        result = run_here(root, *words)

        assert refused(result, reason), (words, result.output)
        assert "Errno" not in result.stderr
    assert refused(run_here(tmp_path, "migrate", MIEN_DATA_DIR=str(file)), "already exists")
    assert refused(run_here(tmp_path, "migrate", MIEN_DATA_DIR=str(file / "inside")), "leads through a file")


def test_no_error_of_the_system_is_printed_by_its_number() -> None:
    for number in errno.errorcode:
        for error in (OSError(number, os.strerror(number)), OSError(number, os.strerror(number), "a\x1b[2J\nfile")):
            text = error_text(error)

            assert text
            assert "Errno" not in text
            assert text.isprintable()
            assert (
                (error.filename is None)
                or number not in SENTENCES
                or "file" in text
                or "many" in text
                or "memory" in text
            )
    assert error_text(FileExistsError(errno.EEXIST, "x", "from", None, "to")) == (
        "to already exists: name another path, or remove it"
    )
    full = "there is no space left for a file: free some, then run the command again"
    assert error_text(OSError(errno.ENOSPC, "No space left on device")) == full


def test_an_error_of_sqlite_names_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(tmp_path / "none" / "x.db")

    text = error_text(caught.value)
    assert text is not None
    assert text.startswith("the databases cannot be used: ")
    assert text.endswith(DATABASE_STEPS[sqlite3.SQLITE_CANTOPEN])


def test_other_errors_stay_tracebacks() -> None:
    assert error_text(KeyError("x")) is None
