"""A batch adds each pending leaf once, all together, in random order, at a fixed time."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from app.transparency.log import batch, padding
from app.vault.vault import Vault
from tests.support.byte_scan import rows
from tests.support.changed_schema import accept_any_schema
from tests.support.sqlite_stores import in_file
from tests.transparency.joined_leaves import (
    PADDING,
    SETTINGS,
    START,
    TURN,
    add_pending,
    batch_sizes,
    open_stores,
    pending_leaves,
    read_leaves,
    with_first_batch,
)
from tests.vault.killed_process import killed_at, steps_of
from tests.vault.operator import make_backup, restore

SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)


@pytest.fixture
def vault(root: Path) -> Iterator[Vault]:
    with with_first_batch(root) as opened:
        yield opened


def count_in_tree(vault: Vault, leaves: list[bytes]) -> set[int]:
    """Return how often each of *leaves* is in the tree, without repetition."""
    found = Counter(read_leaves(vault))
    return {found[leaf] for leaf in leaves}


# --- The time of a batch


def test_no_leaf_joins_before_its_batch(vault: Vault) -> None:
    leaves = add_pending(vault, 3)
    early = [
        batch.append_batch(vault, settings=SETTINGS, now=START + after) for after in (SECOND, TURN / 2, TURN - SECOND)
    ]
    still = pending_leaves(vault)
    joined = batch.append_batch(vault, settings=SETTINGS, now=START + TURN)

    assert early == [None] * 3
    assert still == set(leaves)
    assert joined is not None
    assert joined.leaves == 3
    assert pending_leaves(vault) == set()
    assert count_in_tree(vault, leaves) == {1}


def test_each_interval_has_one_batch(vault: Vault) -> None:
    add_pending(vault)
    first = batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    late = add_pending(vault)
    again = [
        batch.append_batch(vault, settings=SETTINGS, now=START + TURN + after) for after in (SECOND, TURN - SECOND)
    ]
    next_one = batch.append_batch(vault, settings=SETTINGS, now=START + 2 * TURN)

    assert first is not None
    assert again == [None, None]
    assert next_one is not None
    assert count_in_tree(vault, late) == {1}


def test_a_batch_without_leaves_uses_up_its_interval(vault: Vault) -> None:
    """Otherwise the first act after a quiet time would join at once, and the log would show its time."""
    idle = batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    leaves = add_pending(vault)
    early = batch.append_batch(vault, settings=SETTINGS, now=START + TURN + SECOND)
    joined = batch.append_batch(vault, settings=SETTINGS, now=START + 2 * TURN)

    assert idle is not None
    assert idle.leaves == 0
    assert early is None
    assert joined is not None
    assert count_in_tree(vault, leaves) == {1}


def test_a_batch_without_leaves_and_padding_uses_up_its_interval(root: Path) -> None:
    with with_first_batch(root) as vault:
        unpadded = SETTINGS.model_copy(update={"log_padding": 1})
        before = len(read_leaves(vault))
        idle = batch.append_batch(vault, settings=unpadded, now=START + TURN)
        add_pending(vault)
        early = batch.append_batch(vault, settings=unpadded, now=START + TURN + SECOND)

        assert idle == batch.BatchResult(0, before)
        assert early is None
        assert len(read_leaves(vault)) == before


@pytest.mark.parametrize("step", [-YEAR, -TURN, YEAR], ids=["a year back", "a turn back", "a year ahead, and back"])
def test_a_clock_that_was_wrong_keeps_no_leaf_waiting(vault: Vault, step: timedelta) -> None:
    add_pending(vault)
    wrong = batch.append_batch(vault, settings=SETTINGS, now=START + step)
    leaves = add_pending(vault)
    right = batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    after = add_pending(vault)
    early = batch.append_batch(vault, settings=SETTINGS, now=START + TURN + SECOND)
    following = batch.append_batch(vault, settings=SETTINGS, now=START + 2 * TURN)

    assert wrong is not None
    assert right is not None
    assert early is None
    assert following is not None
    assert count_in_tree(vault, leaves + after) == {1}


@pytest.mark.parametrize("seconds", [0, 1, 299.5, 599])
def test_a_leaf_joins_by_the_promised_time(vault: Vault, seconds: float) -> None:
    now = START + timedelta(seconds=seconds)
    by = batch.promise_deadline(now, TURN.total_seconds())
    leaves = add_pending(vault)
    batch.append_batch(vault, settings=SETTINGS, now=START + TURN)

    assert by == START + 2 * TURN
    assert count_in_tree(vault, leaves) == {1}


# --- Order and number of leaves


def test_leaves_join_in_another_order_than_their_acts(vault: Vault) -> None:
    """In 20 batches of 8 leaves, the mean place of each act has a standard deviation of 0.51.

    One batch in the order of its acts comes once in two thousand runs, two once in ten million.
    """
    places: dict[int, list[int]] = {number: [] for number in range(8)}
    in_order = 0
    for number in range(1, 21):
        leaves = add_pending(vault, 8)
        batch.append_batch(vault, settings=SETTINGS, now=START + number * TURN)
        joined = read_leaves(vault)[-8:]
        assert set(joined) == set(leaves)
        in_order += joined == leaves
        for act, leaf in enumerate(leaves):
            places[act].append(joined.index(leaf))
    means = [sum(found) / len(found) for found in places.values()]

    assert in_order <= 1
    assert all(abs(mean - 3.5) < 2.6 for mean in means), means


def test_every_leaf_is_equally_often_in_every_place() -> None:
    """The shuffle alone, with padding: chi-square of 5 leaves in 8 places, 2,400 times."""
    leaves = [bytes([number]) * 32 for number in range(5)]
    found = Counter[tuple[bytes, int]]()
    for _ in range(2400):
        padded = padding.pad(leaves, multiple=PADDING, noise=0)
        found.update((leaf, padded.index(leaf)) for leaf in leaves)
    chi_square = sum((found[leaf, place] - 300) ** 2 / 300 for leaf in leaves for place in range(8))

    # The mean is 35 and the standard deviation 8: a larger value comes once in a million runs.
    assert chi_square < 90


@pytest.mark.parametrize(("acts", "added"), [(0, 8), (1, 8), (7, 8), (8, 8), (9, 16), (17, 24)])
def test_a_batch_is_padded_to_a_multiple(vault: Vault, acts: int, added: int) -> None:
    before = read_leaves(vault)
    leaves = add_pending(vault, acts)
    joined = batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    after = read_leaves(vault)

    assert joined == batch.BatchResult(acts, len(after))
    assert after[: len(before)] == before
    assert len(after) - len(before) == added == batch_sizes(vault)[-1]
    assert len(set(after)) == len(after)
    assert set(leaves) <= set(after[len(before) :])


# --- Interruptions


def run_batch(root: Path, turn: int) -> None:
    with open_stores(root) as vault:
        batch.append_batch(vault, settings=SETTINGS, now=START + turn * TURN)


def test_a_batch_killed_at_any_step_adds_each_leaf_once(root: Path) -> None:
    with with_first_batch(root) as vault:
        add_pending(vault, 3)
    names = steps_of(lambda: run_batch(root, 1))
    turns = count(2)
    for number in range(len(names)):
        with open_stores(root) as vault:
            leaves = add_pending(vault, 3)
        turn = next(turns)
        killed_at(number, lambda turn=turn: run_batch(root, turn))  # type: ignore[misc]
        run_batch(root, next(turns))

        with open_stores(root) as vault:
            assert count_in_tree(vault, leaves) == {1}, names[number]
            assert pending_leaves(vault) == set()
            seen = rows(in_file(vault.data).path, "SELECT size FROM seen_heads")
            assert seen == rows(in_file(vault.register.store).path, "SELECT max(size) FROM log_heads")
    assert ("transparency log batch", "register.db committed") in names
    assert ("transparency log batch", "mien.db written") in names


def test_a_data_store_that_fails_after_the_tree_has_grown_adds_no_leaf_twice(vault: Vault) -> None:
    leaves = add_pending(vault, 3)
    accept_any_schema(vault.data)
    with vault.data.write() as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE DELETE ON pending_leaves BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    between = pending_leaves(vault), count_in_tree(vault, leaves)
    with vault.data.write() as session:
        session.connection().exec_driver_sql("DROP TRIGGER full")
    batch.append_batch(vault, settings=SETTINGS, now=START + 2 * TURN)

    assert between == (set(leaves), {1})
    assert pending_leaves(vault) == set()
    assert count_in_tree(vault, leaves) == {1}


def test_a_register_that_fails_keeps_leaves_waiting(vault: Vault) -> None:
    leaves = add_pending(vault, 3)
    accept_any_schema(vault.register.store)
    with vault.register.store.write() as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON log_heads BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        batch.append_batch(vault, settings=SETTINGS, now=START + TURN)
    between = pending_leaves(vault), count_in_tree(vault, leaves)
    with vault.register.store.write() as session:
        session.connection().exec_driver_sql("DROP TRIGGER full")
    batch.append_batch(vault, settings=SETTINGS, now=START + TURN)

    assert between == (set(leaves), {0})
    assert pending_leaves(vault) == set()
    assert count_in_tree(vault, leaves) == {1}


def test_two_batches_at_once_add_each_leaf_once(root: Path) -> None:
    """Like the service, and a restore that appends the pending leaves of the data that it replaces."""
    with with_first_batch(root) as first, open_stores(root) as second:
        for turn in range(1, 5):
            leaves = add_pending(first, 5)
            together = threading.Barrier(2)

            def join(vault: Vault, turn: int = turn, together: threading.Barrier = together) -> None:
                together.wait()
                batch.append_batch(vault, settings=SETTINGS, now=START + turn * TURN)

            with ThreadPoolExecutor(2) as threads:
                for future in [threads.submit(join, vault) for vault in (first, second)]:
                    future.result()
            assert count_in_tree(first, leaves) == {1}
            assert pending_leaves(first) == set()


def test_two_batches_in_one_interval_are_one(vault: Vault) -> None:
    """Both found the batch due before either had the write lock; the second then finds that it has run."""
    add_pending(vault)
    first, second = (batch._join(vault, SETTINGS, now=START + TURN, at_once=False) for _ in range(2))

    assert first is not None
    assert second is None
    assert batch_sizes(vault)[-1] == PADDING


def test_a_leaf_that_a_backup_restores_does_not_join_again(root: Path) -> None:
    with with_first_batch(root) as vault:
        leaves = add_pending(vault, 3)
    make_backup(root, root.with_name("backup"))
    run_batch(root, 1)
    with open_stores(root) as vault:
        before = len(read_leaves(vault))
    restore(root, root.with_name("backup"), clock=lambda: START + TURN + SECOND)
    with open_stores(root) as vault:
        pending = pending_leaves(vault)
        batch.append_batch(vault, settings=SETTINGS, now=START + 2 * TURN)

        assert set(leaves) < pending, "they are pending again, with the entry of the restore"
        assert count_in_tree(vault, leaves) == {1}
        assert pending_leaves(vault) == set()
        assert len(read_leaves(vault)) == before + PADDING


def test_pending_leaves_of_replaced_data_join_first(root: Path) -> None:
    """The promise of a receipt is kept, although the data that had its leaf is replaced."""
    with with_first_batch(root):
        pass
    make_backup(root, root.with_name("backup"))
    with open_stores(root) as vault:
        leaves = add_pending(vault, 3)
    restore(root, root.with_name("backup"), clock=lambda: START + SECOND)

    with open_stores(root) as vault:
        assert count_in_tree(vault, leaves) == {1}
