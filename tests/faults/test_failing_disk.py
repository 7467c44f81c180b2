"""A disk that refuses, fails and tears what is written, under the program itself: libfiu fails its system calls."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from tests.bytescan import rows
from tests.faults.served import Served, added_party, photo, served, under_libfiu
from tests.faults.town import ENDINGS, STORAGE, Town, eventually, outcomes, sound, statuses, unused_keys
from tests.house import Person, copied

pytestmark = [pytest.mark.injected, pytest.mark.timeout(300)]
EIO, EROFS = 5, 30
FAULTS = {
    "a write that fails": ("SQLITE_IOERR_WRITE", {"posix/io/rw/pwrite": EIO}),
    "a disk that became read-only": ("SQLITE_IOERR_WRITE", {"posix/io/rw/pwrite": EROFS, "posix/io/rw/ftruncate": EROFS}),
    "a sync that fails": ("SQLITE_IOERR_FSYNC", {"posix/io/sync/fdatasync": EIO}),
}


@pytest.fixture(scope="module")
def running(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = copied(prepared, tmp_path_factory.mktemp("failing") / "house")
    with served(root, *under_libfiu(root)) as one:
        yield one


@pytest.mark.parametrize("fault", FAULTS)
def test_what_the_disk_refuses_is_said_and_nothing_is_half_done(running: Served, fault: str) -> None:
    name, calls = FAULTS[fault]
    town = running.town()
    writes, reads = town.writes(), town.reads()
    said = len(running.log())
    running.fault(*(f"enable name={call},failinfo={number}" for call, number in calls.items()))
    told, seen = outcomes(writes), statuses(reads)
    running.fault(*(f"disable name={call}" for call in calls))
    again = {name: status for name, status in statuses(writes).items() if name not in ENDINGS}
    gone = [town.verify(name).status_code for name in ("withdraw", "refuse", "restrict", "erase")]
    log = [json.loads(line) for line in running.log()[said:].splitlines()]

    assert {name: answer for name, answer in told.items() if answer != STORAGE} == {}
    assert set(seen.values()) == {200}
    assert set(again.values()) <= {200, 201}
    assert gone == [404] * 4
    assert Counter(line["error"] for line in log if line["event"] == "storage fails")[name] <= 2, "once for each store"
    assert {line["event"] for line in log} >= {"storage fails", "storage works again"}
    assert not [line for line in log if line["event"] == "fault"]
    assert sound(running.root)
    assert eventually(lambda: not unused_keys(running.root))
