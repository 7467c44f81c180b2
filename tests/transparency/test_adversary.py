"""Whoever has the log, the times of its checkpoints and one relying party's records cannot tell whose a leaf is.

**What is not hidden:** the batch. A leaf joins with the next turn, so that a relying party, which knows when it asked,
knows in which ten minutes each of its comparisons joined, and an observer at the door knows as much. Within these, all
leaves look alike (`adversary`). How many acts there were is hidden up to the padding: 0 to 8 look alike, 9
to 16 look alike, and a log that grew by 80 leaves in a turn had more than 72.

The intervals are so wide that chance alone makes this fail once in some ten thousand runs, though a dozen are looked
at: five and a half spreads on either side, of 30 people. The controls show that this is narrow enough to notice what
there is to be noticed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.orm import Session

from app.transparency.log import batch, entries
from app.transparency.log.entries import LogEntry
from tests.support.service_fixture import copied
from tests.transparency.adversary import STRATEGIES, Auc, Guess, auc, combined, learned, scores
from tests.transparency.joined_leaves import PADDING, START, TURN, begun, sizes, stores, wait
from tests.transparency.populated_log import Street

pytestmark = pytest.mark.slow

SPREADS = 5.5
TOGETHER = "all together"


def worth(street: Street) -> dict[str, Auc]:
    """Return what each strategy is worth against the log of *street*, and all of them learned together."""
    public, noted, truth = street.public(), street.noted(), street.truth()
    people = []
    for face, asked in noted.items():
        turns = sorted({one.turn for one in asked})
        scored = [scores(public, asked, turn) for turn in turns]
        theirs = [np.array([leaf in truth[face] for leaf in public.leaves[turn]]) for turn in turns]
        people.append((scored, theirs))
    found = {
        name: auc([Guess([one[:, column] for one in scored], theirs) for scored, theirs in people])
        for column, name in enumerate(STRATEGIES)
    }
    taught, asked_of = people[::2], people[1::2]
    fitted = learned(
        np.vstack([one for scored, _ in taught for one in scored]),
        np.concatenate([one for _, theirs in taught for one in theirs]),
    )
    guesses = [Guess([combined(one, fitted) for one in scored], theirs) for scored, theirs in asked_of]
    return found | {TOGETHER: auc(guesses)}


@contextmanager
def street(root: Path, *, people: int, turns: int) -> Iterator[Street]:
    """Let a street live for so many turns of the log."""
    with stores(root) as vault:
        lived = Street(vault, people)
        lived.live(turns, comings=22)
        yield lived


def test_nobody_can_tell_which_leaves_are_one_persons(root: Path) -> None:
    with street(root, people=30, turns=36) as lived:
        found = worth(lived)
        leaves = sum(map(len, lived.truth().values()))
    told = {name: one.interval(SPREADS) for name, one in found.items()}

    assert leaves > 750
    for name, (low, high) in told.items():
        assert low <= 0.5 <= high, f"{name}: {told[name]}"
        assert high - low < 0.25, f"{name}: so wide an interval says nothing"


def in_order_of_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leaves join in the order in which they were written, those that fill up at the end."""
    came: list[bytes] = []
    pend, filled = entries.add_pending_leaf, batch._filled

    def noting(session: Session, leaf: bytes) -> None:
        came.append(leaf)
        pend(session, leaf)

    def unshuffled(leaves: Sequence[bytes], multiple: int, noise: int) -> list[bytes]:
        known = {leaf: place for place, leaf in enumerate(came)}
        return sorted(filled(leaves, multiple, noise), key=lambda leaf: known.get(leaf, len(came)))

    monkeypatch.setattr(entries, "add_pending_leaf", noting)
    monkeypatch.setattr(batch, "_filled", unshuffled)


def without_salts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leaf be the hash of what the record says, and of nothing that is not known."""
    salt = bytes(entries.SALT_BYTES)
    monkeypatch.setattr(
        entries, "salt_record", lambda record: LogEntry(record, salt, entries.compute_leaf(salt, record))
    )


@pytest.mark.parametrize(
    ("spoil", "telling"),
    [(in_order_of_coming, "place against order of asking"), (without_salts, "likeness to the hash of the record")],
)
def test_a_log_that_did_tell_would_be_noticed(
    root: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pytest.MonkeyPatch], None], telling: str
) -> None:
    spoil(monkeypatch)
    with street(root, people=14, turns=8) as lived:
        found = worth(lived)
    low, together_low = (found[name].interval(SPREADS)[0] for name in (telling, TOGETHER))

    assert low > 0.75
    assert together_low > 0.75


def test_how_many_acts_there_were_is_hidden_by_the_padding(prepared: Path, tmp_path: Path) -> None:
    """Also by how long the batch waits: it comes when its turn begins, with nothing to do too."""
    with begun(copied(prepared, tmp_path / "service")) as vault:
        for acts in range(2 * PADDING + 1):
            wait(vault, acts)
            assert batch.append_batch(vault, now=START + (acts + 1) * TURN) is not None
        grown = sizes(vault)[-(2 * PADDING + 1) :]

    assert grown == [PADDING] * (PADDING + 1) + [2 * PADDING] * PADDING
