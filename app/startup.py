"""One ordered list of named start steps, of which each kind of run takes its own."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

import structlog

from app.comparisons import enumeration_guard
from app.compliance import notice_facts, shipped_notices
from app.consent.facts import Facts
from app.consent.notice_template import NoticeError
from app.db.store import Store, unlimited_reads
from app.faces.cards.custom_card import CustomEngineError
from app.faces.cards.operating_point import UnsupportedTargetError
from app.faces.cards.select import select_card
from app.faces.service import RunningEngine
from app.jobs.maintenance import destroy_discarded_keys, purge_dead_rows
from app.kit.clock import Clock, utc_now
from app.settings import Settings
from app.templates import engine_history, expiry
from app.transparency.log import service as transparency_log
from app.transparency.log import signing_keys
from app.vault import authenticity
from app.vault.authentic_rows import sign_older_once
from app.vault.ending import run_ending
from app.vault.open import check, has_unmoved_files, is_new, migrate, refuse_exposed
from app.vault.vault import ForeignRegisterError, Vault

TURN_POLL_S = 0.1
"""Seconds between two checks whether the start steps of another process are done."""

log = structlog.get_logger()


class Run(Enum):
    """The kinds of run."""

    MIGRATE = auto()
    """`mien migrate`. With new stores every run takes these steps too."""
    COMMAND = auto()
    """A command, or the creation of the application."""
    MAINTENANCE = auto()
    """`mien sweep`."""
    SERVE = auto()
    """The start of the created application, before its first request."""
    RESTORE = auto()
    """`mien restore`, on the prepared backup."""


@dataclass(slots=True, kw_only=True)
class _Start:
    """The objects that the steps work on."""

    vault: Vault
    settings: Settings
    clock: Clock
    engine: RunningEngine | None
    facts: Facts | None
    new_stores: bool
    purged: int = 0


class Step(NamedTuple):
    """A named step and the runs that take it."""

    name: str
    take: Callable[[_Start], object]
    runs: frozenset[Run]


def _publish_notices(start: _Start) -> None:
    if not start.new_stores:
        return
    # A notice has an authentication code.
    authenticity.create_key(start.vault.register)
    try:
        facts = start.facts or notice_facts.collect(start.settings, select_card(start.settings))
        with start.vault.data.write() as session:
            shipped_notices.publish_shipped(session, facts, now=start.clock())
    except (NoticeError, UnsupportedTargetError, CustomEngineError) as error:
        # The controller, or the error rates of the engine, are still unknown: nothing true can be published yet.
        log.warning("no notice is published yet", reason=str(error), remedy="mien notice publish-shipped")


def _bind(start: _Start) -> None:
    # After the notices: stores that are not bound count as new, so an interrupted start publishes them again.
    if start.new_stores:
        start.vault.bind()


def _refuse_exposed(start: _Start) -> None:
    # In `prototype` the first start may find a directory that the user made with the usual mode.
    if start.settings.profile == "live":
        refuse_exposed(start.vault)


def _refuse_unmoved(start: _Start) -> None:
    # A person's rights would be answered from new databases, while the data is in the files.
    data_dir = start.settings.data_dir
    if start.settings.database_url is not None and start.new_stores and has_unmoved_files(data_dir):
        msg = f"the databases of PostgreSQL are empty, and there is SQLite data in {data_dir}: run `mien move`"
        raise ForeignRegisterError(msg)


def _report_storage_faults(start: _Start) -> None:
    for store in (start.vault.data, start.vault.register.store):
        store.log_faults()


def _purge(start: _Start) -> None:
    start.purged = purge_dead_rows(start.vault, settings=start.settings, now=start.clock())


def _put_engine_in_force(start: _Start) -> None:
    if start.engine is not None:
        days = start.settings.superseded_template_days
        engine_history.put_in_force(start.vault, start.engine.card, days=days, now=start.clock())


def _start_workers(start: _Start) -> None:
    if start.engine is not None:
        start.engine.pool.start()


def _compare_notices(start: _Start) -> None:
    if start.facts is not None:
        with start.vault.data.write() as session:
            shipped_notices.publish_stale(session, start.facts, now=start.clock())
            shipped_notices.log_stale(session, start.facts)


MIGRATE = frozenset({Run.MIGRATE})
SERVE = frozenset({Run.SERVE})
RESTORE = frozenset({Run.RESTORE})
USE = frozenset({Run.COMMAND, Run.MAINTENANCE})
STEPS = (
    Step("refuse new databases beside files that were not moved", _refuse_unmoved, MIGRATE),
    Step("migrate both stores", lambda start: migrate(start.vault), MIGRATE | RESTORE),
    Step("publish the shipped notices", _publish_notices, MIGRATE),
    Step("bind the data store to its register", _bind, MIGRATE),
    Step("check that the stores belong together", lambda start: start.vault.check_bound(), RESTORE),
    Step("check that the stores can be used", lambda start: check(start.vault), USE),
    Step(
        "create missing signing keys",
        lambda start: signing_keys.begin_log(start.vault, now=start.clock()),
        MIGRATE | USE | RESTORE,
    ),
    Step(
        "create the authentication key",
        lambda start: authenticity.create_key(start.vault.register),
        MIGRATE | USE | RESTORE,
    ),
    Step(
        "compute the authentication codes of older rows",
        lambda start: sign_older_once(start.vault.data, start.vault.register, now=start.clock()),
        MIGRATE | USE,
    ),
    Step(
        "create the key of the enumeration guard",
        lambda start: enumeration_guard.create_key(start.vault),
        MIGRATE | USE,
    ),
    Step(
        "check the transparency log", lambda start: transparency_log.check_not_rolled_back(start.vault), USE | RESTORE
    ),
    Step("refuse stores that are open to other users", _refuse_exposed, SERVE),
    Step("report storage faults", _report_storage_faults, SERVE),
    # Before the first request, which must never read a row whose key is gone.
    Step("delete dead rows", _purge, SERVE),
    Step("destroy discarded keys", lambda start: destroy_discarded_keys(start.vault), SERVE | {Run.MAINTENANCE}),
    # Before the next step: their time is over, even if their engine comes into force again.
    Step("end expired templates", lambda start: expiry.end_superseded_templates(start.vault, now=start.clock()), SERVE),
    Step("put the engine in force", _put_engine_in_force, SERVE),
    Step("start the engine workers", _start_workers, SERVE),
    Step("compare the notices with the facts in force", _compare_notices, SERVE),
)


@contextmanager
def _turn(store: Store) -> Iterator[None]:
    """Wait until no other process takes start steps, and keep others waiting during the block."""
    while True:
        with store.lock("start") as held:
            if held:
                yield
                return
        time.sleep(TURN_POLL_S)


def prepare(
    vault: Vault,
    settings: Settings,
    run: Run,
    *,
    clock: Clock = utc_now,
    engine: RunningEngine | None = None,
    facts: Facts | None = None,
) -> int:
    """Take the steps of *run*, in order. Returns the number of deleted dead rows. Repeating is harmless.

    The error of a step has the name of the step as a note.

    Args:
        vault: both stores, open.
        settings: the settings.
        run: the kind of run.
        clock: the clock of the steps.
        engine: the engine, for `Run.SERVE`.
        facts: the facts that notices state, for `Run.SERVE`. New stores get them from the settings by default.
    """
    # No request waits yet, so reads may exceed the time limit.
    with _turn(vault.data), unlimited_reads():
        new_stores = is_new(vault)
        start = _Start(vault=vault, settings=settings, clock=clock, engine=engine, facts=facts, new_stores=new_stores)
        runs = {run, Run.MIGRATE} if new_stores else {run}
        for step in STEPS:
            if step.runs & runs:
                try:
                    run_ending(vault, partial(step.take, start))
                except Exception as error:
                    error.add_note(f"start step: {step.name}")
                    raise
    return start.purged
