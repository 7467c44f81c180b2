"""Every operation, killed at any step, is afterwards complete or undone.

Each operation runs once without interruption, which gives its steps. Then it runs once for each step, with `kill -9`
there, and once more with `kill -9` after its answer. The state after a restart is compared, over HTTP and in the files.
"""

import os
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from app.db.sqlite.store import SqliteStore
from app.kit.crash_points import operation as named
from app.kit.crash_points import step
from tests.architecture.source import modules
from tests.crash import observed_state, page
from tests.crash.operations import OPERATIONS, Operation, OperatorCommand
from tests.crash.preparations import enrolled
from tests.crash.process_launcher import Command, ProcessLauncher
from tests.crash.trial import AllowedStates, killed_after_the_answer, killed_at, prepared_for, trace, unstepped

MEMORY = Path("/dev/shm")  # noqa: S108 - directories in it are made for one test


@pytest.fixture(scope="session")
def launcher() -> ProcessLauncher:
    """Return the launcher of the child processes."""
    return ProcessLauncher()


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """Return the directory of trials, in memory if possible: a kill changes no file."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        yield Path(directory)


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_operation_killed_at_any_step_is_done_or_not_done(
    operation: Operation, launcher: ProcessLauncher, prepared: Path, scratch: Path, request: pytest.FixtureRequest
) -> None:
    workbench = prepared_for(operation, launcher, prepared, scratch)
    passed, done = trace(workbench)
    assert not unstepped(passed), "a durable effect without a step"
    allowed = AllowedStates(workbench, done)

    lines = [killed_at(one.spot, workbench, allowed) for one in passed if one.spot is not None]
    lines.append(killed_after_the_answer(workbench, allowed))

    if request.config.getoption("--write-table", default=False):
        page.write(operation.name, lines, [one.name for one in OPERATIONS])
    assert page.rows_of(operation.name) == [str(line) for line in lines], "if that is right: make reliability"


# --- Completeness


def test_every_operation_of_the_program_is_tried() -> None:
    there = {name for module in modules() for name in re.findall(r'@operation\("([^"]+)"\)', module.text)}
    tried = {row.split(" | ")[1].partition(": ")[0] for row in page.rows() if ": " in row.split(" | ")[1]}
    tried |= {page.asked_in(row) for row in page.rows()}

    assert there
    # `tests/db/test_move.py` stops these two at every step, as they need two clusters.
    assert there - tried == {"move", "remove moved files"}


def test_table_has_the_operations_and_no_others() -> None:
    assert list(dict.fromkeys(map(page.asked_in, page.rows()))) == [one.name for one in OPERATIONS]


def _write(store: SqliteStore) -> None:
    with store.write() as session:
        session.execute(text("UPDATE relying_parties SET contact = contact || '.'"))


def _past_the_steps(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    """Write once through the store, and once more without it, before the next step."""
    store = SqliteStore(root / observed_state.DATA)
    with named("invented"):
        _write(store)
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE relying_parties SET contact = contact || '.'")
        step("done")
        with closing(sqlite3.connect(store.path)) as connection, connection:
            connection.execute("UPDATE relying_parties SET contact = contact || '.'")
            connection.commit()
            connection.execute("UPDATE relying_parties SET contact = contact || '.'")
        step("done")
    store.close()


def _in_no_operation(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    store = SqliteStore(root / observed_state.DATA)
    _write(store)
    store.close()


def _to_a_file(root: Path, now: datetime, about: Mapping[str, str]) -> None:
    with named("invented"):
        step("begun")
        (root / "one").write_text("made")
        (root / "one").rename(root / "two")
        (root / "three").touch()
        step("done")
        (root / "two").write_text("and changed")


FAULTY = (
    (_past_the_steps, ["data/mien.db committed beside another, before Spot(operation='invented', step='done', nth=2)"]),
    (_in_no_operation, ["data/mien.db committed in no operation"]),
    (
        _to_a_file,
        [
            "two made beside another, before Spot(operation='invented', step='done', nth=1)",
            "two written after the last step",
        ],
    ),
)


@pytest.mark.parametrize(("command", "expected"), FAULTY, ids=[command.__name__ for command, _ in FAULTY])
def test_durable_effect_without_a_step_is_found(
    command: Command, expected: list[str], launcher: ProcessLauncher, prepared: Path, scratch: Path
) -> None:
    invented = Operation("invented", enrolled, OperatorCommand(command))
    passed, _ = trace(prepared_for(invented, launcher, prepared, scratch))

    assert unstepped(passed) == expected
