"""An adversary with the log, its times and one relying party's records, who seeks the leaves of a person.

The *batch* is not hidden: the relying party knows the time of its request, and so the ten minutes in which the leaf
joined. So each leaf is scored against the others of its batch. The value of a score is its AUC: the probability that a
leaf of the person has a higher score than another leaf of a batch in which the person was verified.

The adversary has more than a real one would: the exact record of each comparison, to the microsecond, without its salt.
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
    "place against order of requests",
    "place against time of requests",
    "exactly the place of the request",
    "parity of index against order",
    "distance to its neighbours",
    "first byte",
    "number of bits",
    "likeness to the hash of the reference",
    "likeness to the hash of reference and time",
    "likeness to the hash of the record",
    "likeness to leaves of the person's other batches",
)

KNOWN = (b"", bytes(32))
"""Salts that are easy to guess."""


@dataclass(frozen=True)
class DoorRecord:
    """One request of the relying party, with more than a real one knows."""

    turn: int
    order: int
    """Its number among the requests before that batch, from 0."""
    of: int
    """The number of requests before that batch."""
    within: float
    """The time, as a part of the interval from 0 to 1."""
    at: datetime
    subject_ref: str
    record: bytes


@dataclass(frozen=True)
class PublicLog:
    """The public data of the log: the first index and the leaves of each batch, by its number."""

    begins: Mapping[int, int]
    leaves: Mapping[int, Sequence[bytes]]

    @cached_property
    def likeness(self) -> Mapping[tuple[int, int], Floats]:
        """For each two batches, the most bits that each leaf of the first shares with a leaf of the second."""
        bits = {turn: _bits(leaves) for turn, leaves in self.leaves.items()}
        return {(a, b): _common(bits[a], bits[b]).max(axis=1) for a in bits for b in bits if a != b}


def scores(public: PublicLog, records: Sequence[DoorRecord], turn: int) -> Floats:
    """Return a score of each leaf of one batch (row) by each strategy (column), as a leaf of a person.

    Args:
        public: the log.
        records: all requests about that person.
        turn: the number of a batch with such a request.
    """
    leaves, now = public.leaves[turn], [record for record in records if record.turn == turn]
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
        _together(public, {record.turn for record in records}, turn),
    ]
    return np.array(columns, dtype=np.float64).T


def _together(public: PublicLog, theirs: set[int], turn: int) -> Floats:
    """Return how much more each leaf resembles the leaves of the person's other batches than other leaves."""
    others = [public.likeness[turn, one] for one in public.leaves if one != turn and one in theirs]
    rest = [public.likeness[turn, one] for one in public.leaves if one != turn and one not in theirs]
    zero = np.zeros((1, len(public.leaves[turn])))
    return np.asarray(np.mean(others or zero, axis=0) - np.mean(rest or zero, axis=0))


def _bits(hashes: Sequence[bytes]) -> Floats:
    raw = np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(len(hashes), -1)
    return np.unpackbits(raw, axis=1).astype(np.float64)


def _common(some: Floats, others: Floats) -> Floats:
    """Return the number of bits that each of *some* shares with each of *others*."""
    found: Floats = some @ others.T + (1 - some) @ (1 - others).T
    return found


@dataclass(frozen=True)
class Guess:
    """The scores of one person's batches by one strategy, and the truth."""

    scored: Sequence[Floats]
    theirs: Sequence[NDArray[np.bool_]]

    @cached_property
    def won(self) -> tuple[float, int]:
        """The pairs of a leaf of the person and another leaf of its batch: those scored correctly, and all."""
        won, pairs = 0.0, 0
        for scored, theirs in zip(self.scored, self.theirs, strict=True):
            more = scored[theirs][:, None] - scored[~theirs][None, :]
            won += float((more > 0).sum() + 0.5 * (more == 0).sum())
            pairs += more.size
        return won, pairs


@dataclass(frozen=True)
class Auc:
    """The probability of a correct order of two leaves, and its spread."""

    value: float
    spread: float
    """Standard error: a bootstrap over the people."""

    def interval(self, spreads: float) -> tuple[float, float]:
        """Return the interval of *spreads* standard errors on either side."""
        return self.value - spreads * self.spread, self.value + spreads * self.spread


def auc(guesses: Sequence[Guess], *, resamples: int = 400) -> Auc:
    """Return the AUC of a strategy over all people."""
    won, pairs = np.array([one.won for one in guesses]).T
    drawn = np.random.default_rng(1).integers(len(guesses), size=(resamples, len(guesses)))
    again = won[drawn].sum(axis=1) / pairs[drawn].sum(axis=1)
    return Auc(float(won.sum() / pairs.sum()), float(again.std(ddof=1)))


def learned(some: Floats, theirs: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Fit a logistic regression; return its weights, and the mean and spread of each column."""
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
    """Return the score of all strategies together."""
    weights, mean, spread = fitted
    found: Floats = ((some - mean) / spread) @ weights[1:]
    return found
