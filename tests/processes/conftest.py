"""Processes of one service on two real clusters."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.launcher import Program, run_program
from tests.support.postgres_clusters import Databases

Pair = tuple[Program, Program]
"""Two services on the same data."""


@pytest.fixture
def postgres(databases: Databases) -> dict[str, str]:
    """The settings of a service on two fresh databases."""
    return {
        **databases.variables(),
        "MIEN_CALLBACK_PRIVATE": "true",
        "MIEN_ENGINE_WORKERS": "1",
        "MIEN_LOG_INTERVAL": "1",
    }


@pytest.fixture
def pair(tmp_path: Path, postgres: dict[str, str]) -> Iterator[Pair]:
    """Two programs at once on the same databases, which are new to both."""
    with ExitStack() as running:
        yield (
            running.enter_context(run_program(tmp_path, wait=False, **postgres)),
            running.enter_context(run_program(tmp_path, wait=False, **postgres)),
        )
