"""The log, the times of its checkpoints and one relying party's records do not reveal whose a leaf is.

***The batch is not hidden.** A leaf joins with the next batch, and a relying party knows the time of its request. So it
knows the ten minutes in which each of its comparisons joined, and so does an observer at the door. Within a batch all
leaves look alike (`adversary`). Padding hides the number of acts: batches of 0 to 8 acts look alike, and so do batches
of 9 to 16.

A dozen strategies are tested at five and a half standard errors on either side, for 30 people: chance alone fails a
test once in some ten thousand runs. The controls show that a leak would be found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.transparency.log import batch, entries, padding
from app.transparency.log.entries import LogEntry
from tests.support.service_fixture import copied
from tests.transparency.adversary import STRATEGIES, Auc, Guess, auc, combined, learned, scores
from tests.transparency.joined_leaves import (
    PADDING,
    SETTINGS,
    START,
    TURN,
    add_pending,
    batch_sizes,
    open_stores,
    with_first_batch,
)
from tests.transparency.populated_log import PopulatedLog

pytestmark = pytest.mark.slow

SPREADS = 5.5
TOGETHER = "all together"


def auc_by_strategy(log: PopulatedLog) -> dict[str, Auc]:
    """Return the AUC of each strategy against *log*, and of all strategies learned together."""
    public, door_records, truth = log.public(), log.door_records(), log.own_leaves()
    people = []
    for face, records in door_records.items():
        turns = sorted({record.turn for record in records})
        scored = [scores(public, records, turn) for turn in turns]
        theirs = [np.array([leaf in truth[face] for leaf in public.leaves[turn]]) for turn in turns]
        people.append((scored, theirs))
    found = {
        name: auc([Guess([one[:, column] for one in scored], theirs) for scored, theirs in people])
        for column, name in enumerate(STRATEGIES)
    }
    learned_from, tested_on = people[::2], people[1::2]
    fitted = learned(
        np.vstack([one for scored, _ in learned_from for one in scored]),
        np.concatenate([one for _, theirs in learned_from for one in theirs]),
    )
    guesses = [Guess([combined(one, fitted) for one in scored], theirs) for scored, theirs in tested_on]
    return found | {TOGETHER: auc(guesses)}


@contextmanager
def populated(root: Path, *, people: int, turns: int) -> Iterator[PopulatedLog]:
    """Make a log of so many people and batches."""
    with open_stores(root) as vault:
        log = PopulatedLog(vault, people)
        log.run(turns, visits=22)
        yield log


def test_no_strategy_finds_the_leaves_of_a_person(root: Path) -> None:
    with populated(root, people=30, turns=36) as log:
        found = auc_by_strategy(log)
        leaves = sum(map(len, log.own_leaves().values()))
    intervals = {name: value.interval(SPREADS) for name, value in found.items()}

    assert leaves > 750
    for name, (low, high) in intervals.items():
        assert low <= 0.5 <= high, f"{name}: {intervals[name]}"
        assert high - low < 0.25, f"{name}: the interval is too wide"


def keep_order_of_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leaves join in the order of their acts, with the padding at the end."""
    order: list[bytes] = []
    add_pending_leaf, pad = entries.add_pending_leaf, padding.pad

    def record_order(session: Session, leaf: bytes) -> None:
        order.append(leaf)
        add_pending_leaf(session, leaf)

    def sort_by_order(leaves: Sequence[bytes], *, multiple: int, noise: int) -> list[bytes]:
        known = {leaf: place for place, leaf in enumerate(order)}
        return sorted(pad(leaves, multiple=multiple, noise=noise), key=lambda leaf: known.get(leaf, len(order)))

    monkeypatch.setattr(entries, "add_pending_leaf", record_order)
    monkeypatch.setattr(padding, "pad", sort_by_order)


def use_no_salt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leaf be the hash of the record alone."""
    salt = bytes(entries.SALT_BYTES)
    monkeypatch.setattr(
        entries, "salt_record", lambda record: LogEntry(record, salt, entries.compute_leaf(salt, record))
    )


@pytest.mark.parametrize(
    ("leak", "strategy"),
    [(keep_order_of_acts, "place against order of requests"), (use_no_salt, "likeness to the hash of the record")],
)
def test_a_leak_is_found(
    root: Path, monkeypatch: pytest.MonkeyPatch, leak: Callable[[pytest.MonkeyPatch], None], strategy: str
) -> None:
    leak(monkeypatch)
    with populated(root, people=14, turns=8) as log:
        found = auc_by_strategy(log)
    low, together_low = (found[name].interval(SPREADS)[0] for name in (strategy, TOGETHER))

    assert low > 0.75
    assert together_low > 0.75


def test_padding_hides_the_number_of_acts(prepared: Path, tmp_path: Path) -> None:
    """So does the time of the batch, which is the same without acts."""
    with with_first_batch(copied(prepared, tmp_path / "service")) as vault:
        for acts in range(2 * PADDING + 1):
            add_pending(vault, acts)
            assert batch.append_batch(vault, settings=SETTINGS, now=START + (acts + 1) * TURN) is not None
        grown = batch_sizes(vault)[-(2 * PADDING + 1) :]

    assert grown == [PADDING] * (PADDING + 1) + [2 * PADDING] * PADDING
