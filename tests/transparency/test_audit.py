"""The audit names the first entry that is not as it was written, whatever was edited, dropped or put elsewhere."""

import secrets
import threading
from pathlib import Path

import pytest

from app.transparency.audit.findings import FindingKind
from app.transparency.log.tiles import GUARD_BYTES, HASH_BYTES, guard_owner
from app.transparency.verify.frontier import Frontier
from tests.support.service_fixture import copied
from tests.transparency.tampered_logs import audited, first, grown, opened, rolled_back, tampering
from tests.transparency.trees import LEAVES, TREE

BATCHES = (5, 200, 95, 310, 9)


@pytest.fixture(scope="session")
def log(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of several batches and tiles."""
    root = copied(prepared, tmp_path_factory.mktemp("log") / "service")
    grown(root, *BATCHES)
    return root


@pytest.fixture
def root(log: Path, tmp_path: Path) -> Path:
    return copied(log, tmp_path / "service")


def test_frontier_has_the_root_of_every_size_and_every_complete_subtree() -> None:
    frontier = Frontier()

    assert frontier.root() == TREE.root(0)
    for index, leaf in enumerate(LEAVES[:1100]):
        done = frontier.add(leaf)

        assert frontier.root() == TREE.root(index + 1)
        assert done == [TREE.node(level, index >> level) for level in range(len(done))]
        assert (index + 1) % (1 << len(done)) != 0


def test_a_log_that_nobody_touched_is_whole(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.db")}
    found = audited(root)

    assert (found.findings, found.warnings) == ((), ())
    with tampering(root) as tampered:
        assert (found.size, found.checked.leaves) == (tampered.size, tampered.size)
        assert found.checked.heads == len(tampered("SELECT 1 FROM log_heads"))
        assert found.checked.open_records == len(tampered("SELECT 1 FROM log_open_entries"))
    assert found.checked.nodes == found.size // 256
    assert {path: path.read_bytes() for path in root.rglob("*.db")} == before, "it never writes"


def test_an_empty_log_is_whole(prepared: Path, tmp_path: Path) -> None:
    found = audited(copied(prepared, tmp_path / "empty"))

    assert (found.findings, found.size, found.checked.heads) == ((), 0, 1)
    assert found.checked.open_records > 0, "those that wait are looked at too"


def test_a_changed_leaf_is_named(root: Path) -> None:
    with tampering(root) as tampered:
        tampered.change(257, secrets.token_bytes(HASH_BYTES))

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 257)
    assert "257" in found.what
    assert found.do


def test_a_leaf_that_is_changed_everywhere_is_named(root: Path) -> None:
    with tampering(root) as tampered:
        leaves = tampered.leaves()
        leaves[301] = secrets.token_bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards())

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 301)


def test_two_leaves_that_changed_places_are_named_by_the_first(root: Path) -> None:
    with tampering(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        for parts in (leaves, guards):
            parts[40], parts[500] = parts[500], parts[40]
        tampered.rebuild(leaves, guards)

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_CHANGED, 40)


@pytest.mark.parametrize("dropped", [0, 7, 255, 256, 618])
def test_a_dropped_leaf_is_named(root: Path, dropped: int) -> None:
    with tampering(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        del leaves[dropped], guards[dropped]
        last = len(leaves)
        tampered.rebuild(leaves, guards)

    found = first(root)

    assert found.index == dropped
    assert found.kind is (FindingKind.LEAF_MISSING if dropped == last else FindingKind.LEAF_CHANGED)


def test_a_last_leaf_that_is_dropped_with_its_head_is_missed_by_the_data(root: Path) -> None:
    with tampering(root) as tampered:
        leaves, guards = tampered.leaves()[:-1], tampered.guards()[:-1]
        tampered("UPDATE log_heads SET size = size - 1 WHERE size = ?", len(leaves) + 1)
        tampered.rebuild(leaves, guards)

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.ROLLED_BACK, len(leaves))


def test_a_leaf_put_in_between_is_named(root: Path) -> None:
    with tampering(root) as tampered:
        leaves, guards = tampered.leaves(), tampered.guards()
        leaves.insert(100, secrets.token_bytes(HASH_BYTES))
        guards.insert(100, secrets.token_bytes(GUARD_BYTES))
        tampered("UPDATE log_heads SET size = size + 1 WHERE size = (SELECT max(size) FROM log_heads)")
        tampered.rebuild(leaves, guards)

    assert first(root).index == 100


def test_a_dropped_tile_is_named_by_its_first_leaf(root: Path) -> None:
    with tampering(root) as tampered:
        tampered("DELETE FROM log_tiles WHERE level = 0 AND position = 1")

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.LEAF_MISSING, 256)


def test_a_hash_above_is_named_by_the_first_leaf_under_it(root: Path) -> None:
    with tampering(root) as tampered:
        [(hashes,)] = tampered("SELECT hashes FROM log_tiles WHERE level = 1")
        tampered("UPDATE log_tiles SET hashes = ? WHERE level = 1", hashes[:HASH_BYTES] + bytes(HASH_BYTES))

    found = first(root)

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
def test_what_stands_beyond_the_end_is_named_by_the_end(root: Path, statement: str) -> None:
    with tampering(root) as tampered:
        size = tampered.size
        tampered(statement)

    assert first(root).index == size


def test_a_dropped_head_is_named_by_the_first_entry_that_it_counted(root: Path) -> None:
    with tampering(root) as tampered:
        [(last,), (before,)] = tampered("SELECT size FROM log_heads ORDER BY size DESC LIMIT 2")
        tampered("DELETE FROM log_heads WHERE size = ?", last)

    found = audited(root).findings

    assert found[0].index == before
    assert {FindingKind.HEAD_MISSING, FindingKind.ROLLED_BACK} <= {one.kind for one in found}


@pytest.mark.parametrize("which", ["size = 0", "size >= 0"])
def test_a_log_without_a_beginning_is_found(root: Path, which: str) -> None:
    with tampering(root) as tampered:
        tampered(f"DELETE FROM log_heads WHERE {which}")  # noqa: S608 - our own words

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.HEAD_MISSING, 0)


@pytest.mark.parametrize("number", range(len(BATCHES)))
def test_a_changed_root_is_named_by_the_first_entry_of_its_batch(root: Path, number: int) -> None:
    with tampering(root) as tampered:
        sizes = [row[0] for row in tampered("SELECT size FROM log_heads ORDER BY size")]
        tampered("UPDATE log_heads SET root = zeroblob(32) WHERE size = ?", sizes[number + 1])

    found = first(root)

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
def test_an_index_that_is_wrong_is_named(root: Path, statement: str, index: int) -> None:
    with tampering(root) as tampered:
        tampered(statement, tampered.leaves()[77])

    found = first(root)

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
def test_an_open_record_that_was_changed_is_named(root: Path, change: str, kind: FindingKind) -> None:
    with tampering(root) as tampered:
        leaves = tampered.leaves()
        found = [row[0] for row in tampered("SELECT leaf FROM log_open_entries WHERE record LIKE '%retention_run%'")]
        leaf = min(found, key=leaves.index)
        tampered(f"UPDATE log_open_entries SET {change} WHERE leaf = ?", leaf)  # noqa: S608 - our own words

    named = first(root)

    assert (named.kind, named.index) == (kind, leaves.index(leaf))


def test_an_open_record_whose_leaf_is_not_there_is_found(root: Path) -> None:
    with tampering(root) as tampered:
        [(leaf, record)] = tampered("SELECT leaf, record FROM log_open_entries LIMIT 1")
        tampered(
            "INSERT INTO log_open_entries (leaf, salt, record, joined) SELECT ?, salt, record, 1"
            " FROM log_open_entries WHERE leaf = ?",
            bytes(HASH_BYTES),
            leaf,
        )

    assert record
    found = first(root)

    assert (found.kind, found.index) == (FindingKind.RECORD_CHANGED, None)


def test_of_several_faults_the_first_by_index_is_named(root: Path) -> None:
    with tampering(root) as tampered:
        leaves = tampered.leaves()
        open_leaf = tampered("SELECT leaf FROM log_open_entries WHERE record LIKE '%retention_run%:0}'")[0][0]
        tampered("UPDATE log_open_entries SET salt = zeroblob(32) WHERE leaf = ?", open_leaf)
        tampered("DELETE FROM log_leaves WHERE leaf = ?", leaves[600])
        tampered.change(550, bytes(HASH_BYTES))

    found = audited(root).findings

    assert [one.index for one in found] == [leaves.index(open_leaf), 550]
    assert [one.kind for one in found] == [FindingKind.RECORD_CHANGED, FindingKind.LEAF_CHANGED]


def test_a_register_put_back_to_an_older_state_is_named_by_the_first_entry_that_is_gone(
    root: Path, tmp_path: Path
) -> None:
    size = rolled_back(root, tmp_path)

    found = first(root)

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
def test_what_the_data_has_seen_is_believed_only_if_the_log_signed_it(root: Path, statement: str) -> None:
    with tampering(root, "data/mien.db") as tampered:
        tampered(statement)

    found = audited(root).findings

    assert [(one.kind, one.index) for one in found] == [(FindingKind.SEEN_CHANGED, None)]


def test_who_has_the_key_of_the_tags_too_is_found_out_by_what_the_data_has_seen(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tampering(root) as tampered:
        leaves = tampered.leaves()
        leaves[3] = bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards())
    monkeypatch.setattr("app.transparency.audit.tree._holds", lambda *_: True)

    found = first(root)

    assert (found.kind, found.index) == (FindingKind.REWRITTEN, None)


def test_without_the_key_of_the_tags_a_changed_leaf_is_narrowed_down_to_its_batch(root: Path) -> None:
    with opened(root) as vault:
        vault.register.destroy_key(guard_owner(vault.register.check_origin()), 1)
    with tampering(root) as tampered:
        sizes = [row[0] for row in tampered("SELECT size FROM log_heads ORDER BY size")]
        leaves = tampered.leaves()
        leaves[sizes[2] + 3] = bytes(HASH_BYTES)
        tampered.rebuild(leaves, tampered.guards(), heads=False)

    found = audited(root).findings

    assert [(one.kind, one.index) for one in found[:2]] == [
        (FindingKind.ROOT_WRONG, sizes[2]),
        (FindingKind.GUARD_GONE, None),
    ]


def test_a_clock_that_was_set_back_is_a_warning(root: Path) -> None:
    with tampering(root) as tampered:
        tampered("UPDATE log_heads SET made_at = '2020-01-01 00:00:00.000000' WHERE size = ?", tampered.size)

    found = audited(root)

    assert found.findings == ()
    assert "clock" in found.warnings[0]


def test_what_joins_the_log_meanwhile_is_no_fault(root: Path) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            grown(root, 40)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        found = [audited(root) for _ in range(6)]
    finally:
        stop.set()
        worker.join()

    assert [one.findings for one in found] == [()] * 6
    assert found[-1].size > found[0].size
