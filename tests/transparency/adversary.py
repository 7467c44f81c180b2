"""Who has the whole log, when it grew, and one relying party's records, and wants to know which leaves are a person's.

That they know the *batch* is not hidden: the relying party knows when it asked, and so in which ten minutes the leaf
joined. So each leaf is scored against the others of its own batch, and what a score is worth is the AUC: the chance
that a leaf of the person's is scored higher than another leaf of a batch in which the person was verified.

They get more than they would: the very record of each comparison, to the microsecond, though not its salt.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from app.transparency.verify import merkle

Floats = NDArray[np.float64]

STRATEGIES = (
    "place against order of asking",
    "place against time of asking",
    "exactly the place of asking",
    "parity of index against order",
    "distance to its neighbours",
    "first byte",
    "bits that are set",
    "likeness to the hash of the reference",
    "likeness to the hash of reference and time",
    "likeness to the hash of the record",
    "likeness to leaves of the person's other batches",
)

KNOWN = (b"", bytes(32))
"""Salts that everybody would try."""


@dataclass(frozen=True)
class Asked:
    """One request of the relying party, as it may note it, with more than it is told."""

    turn: int
    order: int
    """Among its requests of that turn, from 0."""
    of: int
    """How many those were."""
    within: float
    """When, as a part of the turn from 0 to 1."""
    at: datetime
    subject_ref: str
    record: bytes


@dataclass(frozen=True)
class Public:
    """What anybody can read of the log: each batch, known by its turn, with where it begins, and its leaves."""

    begins: Mapping[int, int]
    leaves: Mapping[int, Sequence[bytes]]

    @cached_property
    def likeness(self) -> Mapping[tuple[int, int], Floats]:
        """For two batches, how many bits each leaf of the one has in common with each of the other, at most."""
        bits = {turn: _bits(leaves) for turn, leaves in self.leaves.items()}
        return {(a, b): _common(bits[a], bits[b]).max(axis=1) for a in bits for b in bits if a != b}


def scores(public: Public, asked: Sequence[Asked], turn: int) -> Floats:
    """Score the leaves of one batch, a row each, a column for each strategy, as leaves of a person.

    Args:
        public: the log.
        asked: all requests about that person.
        turn: a turn in which there was one.
    """
    leaves, now = public.leaves[turn], [one for one in asked if one.turn == turn]
    size, index = len(leaves), np.arange(len(leaves))
    place = (index + 0.5) / size
    numbers = [int.from_bytes(leaf, "big") for leaf in leaves]
    gaps = [min(abs(numbers[i] - numbers[j]) for j in (i - 1, i + 1) if 0 <= j < size) for i in range(size)]
    guesses = (
        [one.subject_ref.encode() for one in now],
        [f"{one.subject_ref}{one.at.isoformat()}".encode() for one in now],
    )
    bits = _bits(leaves)
    columns = [
        -np.min([np.abs(place - (one.order + 0.5) / one.of) for one in now], axis=0),
        -np.min([np.abs(place - one.within) for one in now], axis=0),
        np.isin(index, [one.order for one in now]),
        (index + public.begins[turn]) % 2 == now[0].order % 2,
        -np.log2(np.maximum(np.array(gaps, dtype=np.float64), 1.0)),
        np.array([leaf[0] for leaf in leaves]),
        bits.sum(axis=1),
        *(_common(bits, _bits([hashlib.sha256(one).digest() for one in some])).max(axis=1) for some in guesses),
        _common(bits, _bits([merkle.leaf_hash(salt + one.record) for one in now for salt in KNOWN])).max(axis=1),
        _together(public, {one.turn for one in asked}, turn),
    ]
    return np.array(columns, dtype=np.float64).T


def _together(public: Public, theirs: set[int], turn: int) -> Floats:
    """Say how much more the leaves are like those of the person's other batches than like those of the rest."""
    others = [public.likeness[turn, one] for one in public.leaves if one != turn and one in theirs]
    rest = [public.likeness[turn, one] for one in public.leaves if one != turn and one not in theirs]
    zero = np.zeros((1, len(public.leaves[turn])))
    return np.asarray(np.mean(others or zero, axis=0) - np.mean(rest or zero, axis=0))


def _bits(hashes: Sequence[bytes]) -> Floats:
    raw = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
    return np.unpackbits(raw, axis=1).astype(np.float64)


def _common(some: Floats, others: Floats) -> Floats:
    """Count the bits that each of *some* has in common with each of *others*."""
    found: Floats = some @ others.T + (1 - some) @ (1 - others).T
    return found


@dataclass(frozen=True)
class Guess:
    """The scores of one person's batches, by one strategy, and which leaves are theirs."""

    scored: Sequence[Floats]
    theirs: Sequence[NDArray[np.bool_]]

    @cached_property
    def won(self) -> tuple[float, int]:
        """How many pairs of a leaf of theirs and another of the same batch were told apart, and how many there are."""
        won, pairs = 0.0, 0
        for scored, theirs in zip(self.scored, self.theirs, strict=True):
            more = scored[theirs][:, None] - scored[~theirs][None, :]
            won += float((more > 0).sum() + 0.5 * (more == 0).sum())
            pairs += more.size
        return won, pairs


@dataclass(frozen=True)
class Auc:
    """The chance to tell a leaf of a person's from another, and its spread."""

    value: float
    spread: float
    """Standard error: a bootstrap over the people."""

    def interval(self, spreads: float) -> tuple[float, float]:
        """Return so many spreads on either side."""
        return self.value - spreads * self.spread, self.value + spreads * self.spread


def auc(guesses: Sequence[Guess], *, resamples: int = 400) -> Auc:
    """Return what a strategy is worth over all people."""
    won, pairs = np.array([one.won for one in guesses]).T
    drawn = np.random.default_rng(1).integers(len(guesses), size=(resamples, len(guesses)))
    again = won[drawn].sum(axis=1) / pairs[drawn].sum(axis=1)
    return Auc(float(won.sum() / pairs.sum()), float(again.std(ddof=1)))


def learned(some: Floats, theirs: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Fit a logistic regression; returns its weights, and the mean and spread of each column that they are for."""
    mean, spread = some.mean(axis=0), some.std(axis=0)
    spread[spread == 0] = 1.0
    columns = np.hstack([np.ones((len(some), 1)), (some - mean) / spread])
    weights = np.zeros(columns.shape[1])
    for _ in range(12):
        chance = 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope = columns.T @ (theirs - chance) - weights
        curve = (columns * (chance * (1 - chance))[:, None]).T @ columns + np.eye(len(weights))
        weights += np.linalg.solve(curve, slope)
    return weights, mean, spread


def combined(some: Floats, fitted: tuple[Floats, Floats, Floats]) -> Floats:
    """Score by all strategies together."""
    weights, mean, spread = fitted
    found: Floats = ((some - mean) / spread) @ weights[1:]
    return found
