"""Leaves join the tree once, all that wait together, in an order that tells nothing, when the clock says so."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import count
from pathlib import Path

import pytest

from app.transparency.log import batch
from app.vault.vault import Vault
from tests.support.byte_scan import rows
from tests.transparency.joined_leaves import PADDING, START, TURN, begun, logged, sizes, stores, wait, waiting
from tests.vault.killed_process import killed_at, steps_of
from tests.vault.operator import make_backup, restore

SECOND = timedelta(seconds=1)
YEAR = timedelta(days=365)


@pytest.fixture
def vault(root: Path) -> Iterator[Vault]:
    with begun(root) as opened:
        yield opened


def times(vault: Vault, leaves: list[bytes]) -> set[int]:
    """Say how often each of *leaves* is in the tree."""
    found = Counter(logged(vault))
    return {found[leaf] for leaf in leaves}


# --- When


def test_no_leaf_joins_before_its_turn(vault: Vault) -> None:
    leaves = wait(vault, 3)
    early = [batch.append_batch(vault, now=START + after) for after in (SECOND, TURN / 2, TURN - SECOND)]
    still = waiting(vault)
    joined = batch.append_batch(vault, now=START + TURN)

    assert early == [None] * 3
    assert still == set(leaves)
    assert joined is not None
    assert joined.leaves == 3
    assert waiting(vault) == set()
    assert times(vault, leaves) == {1}


def test_each_turn_has_one_batch(vault: Vault) -> None:
    wait(vault)
    first = batch.append_batch(vault, now=START + TURN)
    late = wait(vault)
    again = [batch.append_batch(vault, now=START + TURN + after) for after in (SECOND, TURN - SECOND)]
    next_one = batch.append_batch(vault, now=START + 2 * TURN)

    assert first is not None
    assert again == [None, None]
    assert next_one is not None
    assert times(vault, late) == {1}


def test_a_turn_in_which_nothing_waited_is_used_up(vault: Vault) -> None:
    """Else the first act after a quiet time would join at once, and the log would tell when it was."""
    idle = batch.append_batch(vault, now=START + TURN)
    leaves = wait(vault)
    early = batch.append_batch(vault, now=START + TURN + SECOND)
    joined = batch.append_batch(vault, now=START + 2 * TURN)

    assert idle is not None
    assert idle.leaves == 0
    assert early is None
    assert joined is not None
    assert times(vault, leaves) == {1}


def test_without_padding_too_an_idle_turn_is_used_up(root: Path) -> None:
    with begun(root) as vault:
        vault.settings = vault.settings.model_copy(update={"log_padding": 1})
        before = len(logged(vault))
        idle = batch.append_batch(vault, now=START + TURN)
        wait(vault)
        early = batch.append_batch(vault, now=START + TURN + SECOND)

        assert idle == batch.BatchResult(0, before)
        assert early is None
        assert len(logged(vault)) == before


@pytest.mark.parametrize("step", [-YEAR, -TURN, YEAR], ids=["a year back", "a turn back", "a year ahead, and back"])
def test_a_clock_that_was_wrong_keeps_no_leaf_waiting(vault: Vault, step: timedelta) -> None:
    wait(vault)
    wrong = batch.append_batch(vault, now=START + step)
    leaves = wait(vault)
    right = batch.append_batch(vault, now=START + TURN)
    after = wait(vault)
    early = batch.append_batch(vault, now=START + TURN + SECOND)
    following = batch.append_batch(vault, now=START + 2 * TURN)

    assert wrong is not None
    assert right is not None
    assert early is None
    assert following is not None
    assert times(vault, leaves + after) == {1}


@pytest.mark.parametrize("seconds", [0, 1, 299.5, 599])
def test_a_promise_is_kept_by_the_next_turn(vault: Vault, seconds: float) -> None:
    now = START + timedelta(seconds=seconds)
    by = batch.promise_deadline(now, TURN.total_seconds())
    leaves = wait(vault)
    batch.append_batch(vault, now=START + TURN)

    assert by == START + 2 * TURN
    assert times(vault, leaves) == {1}


# --- In which order, and how many


def test_the_order_of_acts_is_not_that_of_their_leaves(vault: Vault) -> None:
    """Of 40 batches of 8 none is in order, and who came first stands anywhere: a mean place has a spread of 0.36.

    That one is in order happens once in a thousand runs; that two are, never.
    """
    places: dict[int, list[int]] = {number: [] for number in range(8)}
    in_order = 0
    for number in range(1, 41):
        leaves = wait(vault, 8)
        batch.append_batch(vault, now=START + number * TURN)
        joined = logged(vault)[-8:]
        assert set(joined) == set(leaves)
        in_order += joined == leaves
        for came, leaf in enumerate(leaves):
            places[came].append(joined.index(leaf))
    means = [sum(found) / len(found) for found in places.values()]

    assert in_order <= 1
    assert all(abs(mean - 3.5) < 1.8 for mean in means), means


def test_every_leaf_comes_to_every_place_equally_often() -> None:
    """The shuffle by itself, with the random leaves that fill up: chi-square of 5 leaves on 8 places, 2,400 times."""
    leaves = [bytes([number]) * 32 for number in range(5)]
    found = Counter[tuple[bytes, int]]()
    for _ in range(2400):
        filled = batch._filled(leaves, PADDING, 0)
        found.update((leaf, filled.index(leaf)) for leaf in leaves)
    chi_square = sum((found[leaf, place] - 300) ** 2 / 300 for leaf in leaves for place in range(8))

    # 35 on average, with a spread of 8: so much comes once in a million times.
    assert chi_square < 90


@pytest.mark.parametrize(("acts", "added"), [(0, 8), (1, 8), (7, 8), (8, 8), (9, 16), (17, 24)])
def test_a_batch_is_filled_up(vault: Vault, acts: int, added: int) -> None:
    before = logged(vault)
    leaves = wait(vault, acts)
    joined = batch.append_batch(vault, now=START + TURN)
    after = logged(vault)

    assert joined == batch.BatchResult(acts, len(after))
    assert after[: len(before)] == before
    assert len(after) - len(before) == added == sizes(vault)[-1]
    assert len(set(after)) == len(after)
    assert set(leaves) <= set(after[len(before) :])


# --- Whatever interrupts it


def _joining(root: Path, turn: int) -> None:
    with stores(root) as vault:
        batch.append_batch(vault, now=START + turn * TURN)


def test_killed_at_any_step_nothing_is_added_twice_or_lost(root: Path) -> None:
    with begun(root) as vault:
        wait(vault, 3)
    names = steps_of(lambda: _joining(root, 1))
    turns = count(2)
    for number in range(len(names)):
        with stores(root) as vault:
            leaves = wait(vault, 3)
        turn = next(turns)
        killed_at(number, lambda turn=turn: _joining(root, turn))  # type: ignore[misc]
        _joining(root, next(turns))

        with stores(root) as vault:
            assert times(vault, leaves) == {1}, names[number]
            assert waiting(vault) == set()
            seen = rows(vault.data.path, "SELECT size FROM seen_heads")
            assert seen == rows(vault.register.store.path, "SELECT max(size) FROM log_heads")
    assert ("batch of the log", "register.db committed") in names
    assert ("batch of the log", "mien.db written") in names


def test_a_data_store_that_fails_after_the_tree_has_grown(vault: Vault) -> None:
    leaves = wait(vault, 3)
    with vault.data.write() as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE DELETE ON pending_leaves BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        batch.append_batch(vault, now=START + TURN)
    between = waiting(vault), times(vault, leaves)
    with vault.data.write() as session:
        session.connection().exec_driver_sql("DROP TRIGGER full")
    batch.append_batch(vault, now=START + 2 * TURN)

    assert between == (set(leaves), {1})
    assert waiting(vault) == set()
    assert times(vault, leaves) == {1}


def test_a_register_that_fails_keeps_leaves_waiting(vault: Vault) -> None:
    leaves = wait(vault, 3)
    with vault.register.store.write() as session:
        session.connection().exec_driver_sql(
            "CREATE TRIGGER full BEFORE INSERT ON log_heads BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
    with pytest.raises(Exception, match="full"):
        batch.append_batch(vault, now=START + TURN)
    between = waiting(vault), times(vault, leaves)
    with vault.register.store.write() as session:
        session.connection().exec_driver_sql("DROP TRIGGER full")
    batch.append_batch(vault, now=START + TURN)

    assert between == (set(leaves), {0})
    assert waiting(vault) == set()
    assert times(vault, leaves) == {1}


def test_two_batches_at_once_add_each_leaf_once(root: Path) -> None:
    """As the service and a command that ends what its data leaves waiting."""
    with begun(root) as one, stores(root) as two:
        for turn in range(1, 9):
            leaves = wait(one, 5)
            together = threading.Barrier(2)

            def join(vault: Vault, turn: int = turn, together: threading.Barrier = together) -> None:
                together.wait()
                batch.append_batch(vault, now=START + turn * TURN)

            with ThreadPoolExecutor(2) as threads:
                for done in [threads.submit(join, vault) for vault in (one, two)]:
                    done.result()
            assert times(one, leaves) == {1}
            assert waiting(one) == set()


def test_two_batches_in_one_turn_are_one(vault: Vault) -> None:
    """Both looked before either held the register: the second finds that this turn was used up."""
    wait(vault)
    first, second = (batch._join(vault, now=START + TURN, at_once=False) for _ in range(2))

    assert first is not None
    assert second is None
    assert sizes(vault)[-1] == PADDING


def test_a_leaf_that_a_backup_brings_back_does_not_join_again(root: Path) -> None:
    with begun(root) as vault:
        leaves = wait(vault, 3)
    make_backup(root, root.with_name("backup"))
    _joining(root, 1)
    with stores(root) as vault:
        before = len(logged(vault))
    restore(root, root.with_name("backup"), clock=lambda: START + TURN + SECOND)
    with stores(root) as vault:
        brought_back = waiting(vault)
        batch.append_batch(vault, now=START + 2 * TURN)

        assert set(leaves) < brought_back, "they wait again, with the entry that says of the restore"
        assert times(vault, leaves) == {1}
        assert waiting(vault) == set()
        assert len(logged(vault)) == before + PADDING


def test_what_waits_in_replaced_data_joins_first(root: Path) -> None:
    """What was promised to be in the log is, though the data that had it is gone."""
    with begun(root):
        pass
    make_backup(root, root.with_name("backup"))
    with stores(root) as vault:
        leaves = wait(vault, 3)
    restore(root, root.with_name("backup"), clock=lambda: START + SECOND)

    with stores(root) as vault:
        assert times(vault, leaves) == {1}
