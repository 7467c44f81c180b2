"""The audit names the first entry of the transparency log that was changed, dropped or moved."""

import secrets
import threading
from pathlib import Path

import pytest

from app.transparency.audit.findings import FindingKind
from app.transparency.audit.tree import Frontier
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, guard_owner
from tests.support.service_fixture import copied
from tests.transparency.tampered_logs import (
    append_batches,
    first_finding,
    open_stores,
    roll_register_back,
    run_audit,
    tampered_store,
)
from tests.transparency.trees import LEAVES, TREE

BATCHES = (5, 200, 95, 310, 9)


@pytest.fixture(scope="session")
def log(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of several batches and three tiles."""
    root = copied(prepared, tmp_path_factory.mktemp("log") / "service")
    append_batches(root, *BATCHES)
    return root


@pytest.fixture
def root(log: Path, tmp_path: Path) -> Path:
    return copied(log, tmp_path / "service")


def test_the_frontier_returns_every_root_and_every_complete_subtree() -> None:
    frontier = Frontier()

    assert frontier.root() == TREE.root(0)
    for index, leaf in enumerate(LEAVES[:1100]):
        completed = frontier.add(leaf)

        assert frontier.root() == TREE.root(index + 1)
        assert completed == [TREE.node(level, index >> level) for level in range(len(completed))]
        assert (index + 1) % (1 << len(completed)) != 0


def test_an_unchanged_log_is_whole_and_is_not_written_to(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.db")}
    report = run_audit(root)

    assert {path: path.read_bytes() for path in root.rglob("*.db")} == before
    assert (report.findings, report.warnings) == ((), ())
    with tampered_store(root) as tampered:
        assert (report.size, report.checked.leaves) == (tampered.size, tampered.size)
        assert report.checked.heads == len(tampered("SELECT 1 FROM log_heads"))
        assert report.checked.open_records == len(tampered("SELECT 1 FROM log_open_entries"))
    assert report.checked.nodes == report.size // 256


def test_an_empty_log_is_whole(prepared: Path, tmp_path: Path) -> None:
    report = run_audit(copied(prepared, tmp_path / "empty"))

    assert (report.findings, report.size, report.checked.heads) == ((), 0, 1)
    assert report.checked.open_records > 0, "pending records are checked too"


def test_a_changed_leaf_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        tampered.change(257, secrets.token_bytes(HASH_BYTES))

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 257)
    assert "257" in found.what
    assert found.do


def test_a_leaf_that_is_changed_in_all_tables_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        leaves = tampered.leaves()
        leaves[301] = secrets.token_bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards())

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 301)


def test_the_first_of_two_swapped_leaves_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        for parts in (leaves, guards):
            parts[40], parts[500] = parts[500], parts[40]
        tampered.rebuild(leaves, guards)

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 40)


@pytest.mark.parametrize("dropped", [0, 256, 618])
def test_a_dropped_leaf_is_named(root: Path, dropped: int) -> None:
    with tampered_store(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        del leaves[dropped], guards[dropped]
        last = len(leaves)
        tampered.rebuild(leaves, guards)

    found = first_finding(root)

    assert found.index == dropped
    assert found.kind is (FindingKind.LEAF_MISSING if dropped == last else FindingKind.LEAF_CHANGED)


def test_a_last_leaf_dropped_with_its_head_is_found_by_the_checkpoint_in_the_data_store(root: Path) -> None:
    with tampered_store(root) as tampered:
        leaves, guards = tampered.leaves()[:-1], tampered.guards()[:-1]
        tampered("UPDATE log_heads SET size = size - 1 WHERE size = ?", len(leaves) + 1)
        tampered.rebuild(leaves, guards)

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.ROLLED_BACK, len(leaves))


def test_an_inserted_leaf_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        leaves.insert(100, secrets.token_bytes(HASH_BYTES))
        guards.insert(100, secrets.token_bytes(GUARD_BYTES))
        tampered("UPDATE log_heads SET size = size + 1 WHERE size = (SELECT max(size) FROM log_heads)")
        tampered.rebuild(leaves, guards)

    assert first_finding(root).index == 100


def test_the_first_leaf_of_a_dropped_tile_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        tampered("DELETE FROM log_tiles WHERE level = 0 AND position = 1")

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_MISSING, 256)


def test_the_first_leaf_under_a_changed_hash_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        [(hashes,)] = tampered("SELECT hashes FROM log_tiles WHERE level = 1")
        tampered("UPDATE log_tiles SET hashes = ? WHERE level = 1", hashes[:HASH_BYTES] + bytes(HASH_BYTES))

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.NODE_WRONG, 256)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_tiles SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE level = 1",
        "INSERT INTO log_tiles (level, position, hashes, guards) VALUES (2, 0, zeroblob(32), x'')",
        "INSERT INTO log_tiles (level, position, hashes, guards) VALUES (0, 9, zeroblob(32), zeroblob(28))",
        "UPDATE log_tiles SET hashes = CAST(hashes || zeroblob(32) AS BLOB) WHERE level = 0 AND position = 2",
        "UPDATE log_tiles SET guards = CAST(guards || zeroblob(28) AS BLOB) WHERE level = 0 AND position = 2",
    ],
)
def test_surplus_tiles_and_hashes_are_named_by_the_end_of_the_log(root: Path, statement: str) -> None:
    with tampered_store(root) as tampered:
        size = tampered.size
        tampered(statement)

    assert first_finding(root).index == size


def test_the_first_entry_that_a_dropped_head_counted_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        [(last,), (before,)] = tampered("SELECT size FROM log_heads ORDER BY size DESC LIMIT 2")
        tampered("DELETE FROM log_heads WHERE size = ?", last)

    found = run_audit(root).findings

    assert found[0].index == before
    assert {FindingKind.HEAD_MISSING, FindingKind.ROLLED_BACK} <= {finding.kind for finding in found}


@pytest.mark.parametrize("which", ["size = 0", "size >= 0"])
def test_a_log_without_its_first_head_is_found(root: Path, which: str) -> None:
    with tampered_store(root) as tampered:
        tampered(f"DELETE FROM log_heads WHERE {which}")  # noqa: S608 - a constant

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.HEAD_MISSING, 0)


@pytest.mark.parametrize("number", [0, 2, len(BATCHES) - 1])
def test_the_first_entry_under_a_changed_root_is_named(root: Path, number: int) -> None:
    with tampered_store(root) as tampered:
        sizes = [row[0] for row in tampered("SELECT size FROM log_heads ORDER BY size")]
        tampered("UPDATE log_heads SET root = zeroblob(32) WHERE size = ?", sizes[number + 1])

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.ROOT_WRONG, sizes[number])


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        ("DELETE FROM log_leaves WHERE leaf = ?", 77),
        ('UPDATE log_leaves SET "index" = 90 WHERE leaf = ?', 77),
        ("UPDATE log_leaves SET leaf = zeroblob(32) WHERE leaf = ?", 77),
        ("UPDATE log_leaves SET leaf = 'text' WHERE leaf = ?", 77),
        ("INSERT INTO log_leaves (leaf, \"index\") SELECT zeroblob(32), 33 WHERE ? <> ''", 33),
        ("INSERT INTO log_leaves (leaf, \"index\") SELECT zeroblob(32), 100000 WHERE ? <> ''", 100_000),
    ],
)
def test_a_wrong_index_row_is_named(root: Path, statement: str, index: int) -> None:
    with tampered_store(root) as tampered:
        tampered(statement, tampered.leaves()[77])

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.INDEX_WRONG, index)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("record = replace(record, 'run', 'ran')", FindingKind.RECORD_CHANGED),
        ("record = CAST(x'ff' AS TEXT)", FindingKind.RECORD_CHANGED),
        ("salt = zeroblob(32)", FindingKind.RECORD_CHANGED),
        ("joined = 0", FindingKind.RECORD_CHANGED),
    ],
)
def test_a_changed_open_record_is_named(root: Path, change: str, kind: FindingKind) -> None:
    with tampered_store(root) as tampered:
        leaves = tampered.leaves()
        found = [row[0] for row in tampered("SELECT leaf FROM log_open_entries WHERE record LIKE '%retention_run%'")]
        leaf = min(found, key=leaves.index)
        tampered(f"UPDATE log_open_entries SET {change} WHERE leaf = ?", leaf)  # noqa: S608 - a constant

    named = first_finding(root)

    assert (named.kind, named.index) == (kind, leaves.index(leaf))


def test_an_open_record_without_a_leaf_is_found(root: Path) -> None:
    with tampered_store(root) as tampered:
        tampered(
            "INSERT INTO log_open_entries (leaf, salt, record, joined)"
            " SELECT zeroblob(32), salt, record, 1 FROM log_open_entries LIMIT 1"
        )

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.RECORD_CHANGED, None)


def test_of_several_faults_the_first_by_index_is_named(root: Path) -> None:
    with tampered_store(root) as tampered:
        leaves = tampered.leaves()
        open_leaf = tampered("SELECT leaf FROM log_open_entries WHERE record LIKE '%retention_run%:0}'")[0][0]
        tampered("UPDATE log_open_entries SET salt = zeroblob(32) WHERE leaf = ?", open_leaf)
        tampered("DELETE FROM log_leaves WHERE leaf = ?", leaves[600])
        tampered.change(550, bytes(HASH_BYTES))

    found = run_audit(root).findings

    assert [finding.index for finding in found] == [leaves.index(open_leaf), 550]
    assert [finding.kind for finding in found] == [FindingKind.RECORD_CHANGED, FindingKind.LEAF_CHANGED]


def test_the_first_entry_that_an_older_copy_of_the_register_lacks_is_named(root: Path, tmp_path: Path) -> None:
    size = roll_register_back(root, tmp_path)

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.ROLLED_BACK, size)
    assert "newest register" in found.do


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE seen_heads SET note = substr(note, 1, length(note) - 80) || upper(substr(note, -80))",
        "UPDATE seen_heads SET root = zeroblob(32)",
        "UPDATE seen_heads SET size = size - 1",
        "UPDATE seen_heads SET note = ''",
    ],
)
def test_a_changed_checkpoint_in_the_data_store_is_found(root: Path, statement: str) -> None:
    with tampered_store(root, "data/mien.db") as tampered:
        tampered(statement)

    found = run_audit(root).findings

    assert [(finding.kind, finding.index) for finding in found] == [(FindingKind.SEEN_CHANGED, None)]


def test_an_attacker_with_the_key_of_the_tags_is_found_by_the_checkpoint_in_the_data_store(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tampered_store(root) as tampered:
        leaves = tampered.leaves()
        leaves[3] = bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards())
    monkeypatch.setattr("app.transparency.audit.tree._is_valid", lambda *_: True)

    found = first_finding(root)

    assert (found.kind, found.index) == (FindingKind.REWRITTEN, None)


def test_without_the_key_of_the_tags_the_batch_of_a_changed_leaf_is_named(root: Path) -> None:
    with open_stores(root) as vault:
        vault.register.destroy_key(guard_owner(vault.register.check_origin()), 1)
    with tampered_store(root) as tampered:
        sizes = [row[0] for row in tampered("SELECT size FROM log_heads ORDER BY size")]
        leaves = tampered.leaves()
        leaves[sizes[2] + 3] = bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards(), heads=False)

    found = run_audit(root).findings

    assert [(finding.kind, finding.index) for finding in found[:2]] == [
        (FindingKind.ROOT_WRONG, sizes[2]),
        (FindingKind.GUARD_GONE, None),
    ]


def test_a_clock_that_was_set_back_gives_a_warning(root: Path) -> None:
    with tampered_store(root) as tampered:
        tampered("UPDATE log_heads SET made_at = '2020-01-01 00:00:00.000000' WHERE size = ?", tampered.size)

    report = run_audit(root)

    assert report.findings == ()
    assert "clock" in report.warnings[0]


def test_entries_that_join_during_an_audit_are_no_fault(root: Path) -> None:
    stop, appended = threading.Event(), threading.Semaphore(0)

    def append() -> None:
        while not stop.is_set():
            append_batches(root, 40)
            appended.release()

    worker = threading.Thread(target=append)
    worker.start()
    try:
        reports = []
        for _ in range(4):
            assert appended.acquire(timeout=120)
            reports.append(run_audit(root))
    finally:
        stop.set()
        worker.join()

    assert [report.findings for report in reports] == [()] * 4
    assert reports[-1].size > reports[0].size
