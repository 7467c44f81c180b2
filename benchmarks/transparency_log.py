"""The cost of the transparency log: an entry, a verification with one, a receipt, a batch, a proof; time and size.

    .venv/bin/python -m benchmarks.transparency_log [ENTRIES IN THE LARGEST TREE]

Real stores in temporary directories; no HTTP, no engine. Each is measured in turn with a comparison in the same run:

* a commit without the transparency log
* a hash chain in a plain SQLite table: each row has the hash of the row before
* a token signed by the library alone
* a tree that is rebuilt from its leaves for each proof
"""

import hashlib
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Final
from uuid import uuid4

from joserfc import jws as library
from joserfc.jwk import OKPKey

from app.kit.clock import utc_now
from app.transparency.log import entries, signing_keys
from app.transparency.log.entries import LoggedAct
from app.transparency.receipts import issue as issuing
from app.transparency.tables import KeyUse
from app.transparency.verify import receipt as receipts
from app.transparency.verify.jws import ONLY_EDDSA
from benchmarks import merkle_tree
from benchmarks.report import machine, say, table
from benchmarks.single_subject import SingleSubject

LARGEST: Final = 1_000_000
REPEATS: Final = 400
COLD_REPEATS: Final = 60
PAUSE_S: Final = 0.11
"""Duration of one measurement by an engine: the code measured after it is cold, as in service."""
ROUNDS: Final = 9
AT_ONCE: Final = 200
GOAL_MS: Final = 2.0

Work = Callable[[], object]


def p95(values: Sequence[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(values, n=20)[-1]


def in_turn(contenders: Mapping[str, Work], *, repeats: int, pause_s: float = 0.0) -> dict[str, list[float]]:
    """Time each contender once in every round, in random order; milliseconds."""
    took: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    for round_ in range(repeats + 5):
        random.shuffle(order)
        for name in order:
            time.sleep(pause_s)
            began = time.perf_counter()
            contenders[name]()
            if round_ >= 5:  # noqa: PLR2004 - the first warm up
                took[name].append(1000 * (time.perf_counter() - began))
    return took


def verifications(people: Mapping[str, SingleSubject]) -> None:
    """Print the cost of the entry in the commit of a verification and of a consent event."""
    before, again, now = people["before"], people["again"], people["now"]
    kinds: dict[str, Mapping[str, Work]] = {
        "verification": {"b": before.compare_unlogged, "again": again.compare_unlogged, "n": now.compare},
        "consent event": {"b": before.note_unreceipted, "again": again.note_unreceipted, "n": now.note},
    }
    lines = []
    for kind, contenders in kinds.items():
        for how, repeats, pause_s in (("in a loop", REPEATS, 0.0), ("after 110 ms", COLD_REPEATS, PAUSE_S)):
            took = in_turn(contenders, repeats=repeats, pause_s=pause_s)
            medians = {name: statistics.median(times) for name, times in took.items()}
            cells = [f"{medians[name]:.2f} ({p95(took[name]):.2f})" for name in ("b", "again", "n")]
            more = medians["n"] - medians["b"]
            lines.append([f"{kind}, {how}", *cells, f"{more:.2f}", f"{medians['n'] / medians['b']:.2f}"])
            if kind == "verification":
                verdict = "met" if more < GOAL_MS else "NOT MET"
                say(f"{kind}, {how}: {more:.2f} ms more (goal under {GOAL_MS:g}: {verdict})")
    say("Commit of one act, to disk; ms, median (p95):")
    table(["", "without entry", "the same again", "with entry", "more", "ratio"], lines)
    say()


class Chain:
    """A simple hash chain: each row has the hash of its record and of the row before."""

    def __init__(self, file: Path) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", "PRAGMA secure_delete=ON"):
            self.connection.execute(statement)
        self.connection.execute("CREATE TABLE chain (id INTEGER PRIMARY KEY, record TEXT, hash BLOB)")

    def append(self, count: int) -> None:
        """Append rows in one transaction."""
        self.connection.execute("BEGIN IMMEDIATE")
        for _ in range(count):
            record = json.dumps({"act": "comparison", **merkle_tree.record()})
            (last,) = self.connection.execute("SELECT max(id) FROM chain").fetchone()
            before = self.connection.execute("SELECT hash FROM chain WHERE id = ?", (last,)).fetchone() or (b"",)
            link = hashlib.sha256(before[0] + record.encode()).digest()
            self.connection.execute("INSERT INTO chain (record, hash) VALUES (?, ?)", (record, link))
        self.connection.execute("COMMIT")


def in_transactions(append: Callable[[int], None], size: int) -> None:
    """Append the entries of one round, *size* in each transaction."""
    for _ in range(AT_ONCE // size):
        append(size)


def appends(person: SingleSubject, root: Path) -> None:
    """Print the entries a second, beside a hash chain."""

    def ours(count: int) -> None:
        with person.vault.data.write() as session:
            for _ in range(count):
                entries.append(
                    session,
                    person.key,
                    subject_id=person.subject_id,
                    entry_id=uuid4(),
                    act=LoggedAct.COMPARISON,
                    **merkle_tree.record(),
                )

    lines = []
    with closing((chain := Chain(root / "chain.db")).connection):
        for what, size in (("each in its own transaction", 1), (f"{AT_ONCE} in one transaction", AT_ONCE)):
            took = in_turn(
                {"ours": partial(in_transactions, ours, size), "chain": partial(in_transactions, chain.append, size)},
                repeats=ROUNDS,
            )
            each = {name: AT_ONCE * 1000 / statistics.median(found) for name, found in took.items()}
            lines.append([what, *(f"{each[name]:,.0f}" for name in each), f"{each['ours'] / each['chain']:.2f}"])
    say(
        f"Appends a second, sealed for a person and their salted leaf pending; medians of {ROUNDS} rounds of {AT_ONCE}:"
    )
    table(["", "entries", "hash chain, in the clear", "ratio"], lines)
    say()


def signing(person: SingleSubject) -> None:
    """Print the time of a receipt, beside the signature of the library alone."""
    said = person.build_receipt()
    payload = receipts.encode_receipt(said)
    key = OKPKey.import_key(signing_keys.load_private_key(person.vault, KeyUse.RECEIPTS))
    kid = signing_keys.current_thumbprint(person.vault, KeyUse.RECEIPTS)
    header = {"alg": "EdDSA", "kid": kid, "typ": "mien-receipt+jws"}
    took = in_turn(
        {
            "fill in": person.build_receipt,
            "sign": lambda: issuing.sign_receipt(person.vault, said, settings=person.settings, now=utc_now()),
            "library": lambda: library.serialize_compact(header, payload, key, registry=ONLY_EDDSA),
        },
        repeats=REPEATS,
    )
    medians = {name: statistics.median(times) for name, times in took.items()}
    words = {
        "fill in": "fill in: notice, event, relying party",
        "sign": "sign receipt and promise: key in force read and opened, leaf",
        "library": "the library signs the same payload, key at hand",
    }
    say(f"A receipt of a consent ({len(payload):,} bytes of payload), ms, median (p95):")
    table(["", "ms"], [[words[name], f"{medians[name]:.2f} ({p95(took[name]):.2f})"] for name in words])
    say(f"sign to library: {medians['sign'] / medians['library']:.1f}")
    say()


def sizes(person: SingleSubject) -> None:
    """Print the stored size of an act, by the pages of its tables."""
    lines = []
    for act, parts in (
        ("comparison", ("comparisons", "entries", "pending_leaves")),
        ("consent event", ("consent_events", "receipts", "pending_leaves")),
    ):
        took = {name: merkle_tree.bytes_a_row(person.vault.data, name) for name in parts}
        lines.append([act, *(f"{took[name]:,.0f}" for name in parts)])
    say("Bytes in the data store for one act, with its share of indexes and of unused space in pages:")
    table(["", "its own row", "entry or receipt, sealed", "leaf while pending"], lines)
    say()


def main(largest: int) -> None:
    """Measure and print everything."""
    say(machine())
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        people = {name: SingleSubject(root / name, logged=name == "now") for name in ("before", "again", "now")}
        verifications(people)
        sizes(people["now"])
        appends(people["now"], root)
        signing(people["now"])
        for person in people.values():
            person.close()
        merkle_tree.measure(root / "tree", largest=largest)
    say(machine())


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else LARGEST)
