"""Every test has one kind, and a unit test stays inside its process."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.support.kinds import KINDS, OutsideWatch, kinds


def test_every_test_has_exactly_one_kind(request: pytest.FixtureRequest) -> None:
    wrong = {item.nodeid: kinds(item) for item in request.session.items if len(kinds(item)) != 1}

    assert wrong == {}


def _connect() -> None:
    with socket.socket() as client:
        client.connect_ex(("127.0.0.1", 9))


@pytest.mark.service
@pytest.mark.parametrize(
    ("event", "act"),
    [
        ("sqlite3.connect", lambda: closing(sqlite3.connect(":memory:")).__exit__()),
        ("subprocess.Popen", lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
        ("socket.connect", _connect),
    ],
)
def test_acts_of_a_unit_test_outside_its_process_are_seen(event: str, act: Callable[[], object]) -> None:
    watch = OutsideWatch()
    watch.seen = set()
    act()
    seen, watch.seen = watch.seen, None

    assert event in seen


def test_the_kinds_are_registered_markers(pytestconfig: pytest.Config) -> None:
    registered = {line.partition(":")[0] for line in pytestconfig.getini("markers")}

    assert registered >= KINDS
