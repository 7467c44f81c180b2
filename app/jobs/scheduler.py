"""What runs beside the requests while a service serves: the sweep, the batches of the log, the courier."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial

import anyio.to_thread
import structlog
from fastapi import FastAPI

from app import __version__
from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.http_client import CallbackClient
from app.comparisons import enumeration_guard
from app.compliance import shipped_notices
from app.compliance.live_requirements.policy import group_warnings
from app.db.sqlite.connections import unhurried
from app.faces.cards.operating_point import operating_point
from app.faces.service import Measuring
from app.jobs.maintenance import destroy_discarded_keys, purge_dead_rows, run_maintenance
from app.kit.clock import Clock, utc_now
from app.kit.turns import take_short_turns
from app.settings import Settings
from app.templates import coverage, engine_history, renewal
from app.templates import expiry as ending
from app.transparency.log import batch, signing_keys
from app.transparency.log import service as ledger_log
from app.vault.directory_lock import in_use
from app.vault.open import check
from app.vault.vault import ForeignRegisterError, Vault

LOOK_S = 1.0
"""Seconds between two looks whether a batch of the log is due, or a relying party is to be told something."""

QUIET_S = 0.05
"""Seconds between two looks whether the engine has nothing to do."""

log = structlog.get_logger()


def courier_of(settings: Settings, vault: Vault, *, clock: Clock = utc_now) -> DeliveryWorker:
    """Make what tells relying parties; nothing is sent yet."""
    return DeliveryWorker(
        vault, CallbackClient(private=settings.callback_private), days=settings.callback_days, clock=clock
    )


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Let *app* run: from the checks before the first request to the last thread that ends."""
    # As long as it serves nobody puts other data in the place of these.
    with in_use(app.state.settings.data_dir):
        async with _running(app):
            yield


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.request_threads
    take_short_turns()
    vault, clock = app.state.vault, app.state.clock
    # Nobody waits yet for whom a read could be in the way; a busy machine must not keep it from starting.
    with unhurried():
        removed = _made_ready(app)
    swept = _every(settings.sweep_interval_s, lambda: _tidy(app), name="sweep")
    # Looked at often, so that a batch comes when the clock says so: it does nothing until then.
    batched = _every(min(LOOK_S, settings.log_interval), lambda: batch.append_batch(vault, now=clock()), name="batch")
    stopping = threading.Event()
    renewed = _every(settings.sweep_interval_s, _renewing(app, stopping), name="renewal")
    courier = courier_of(settings, vault, clock=clock)
    telling = _every(LOOK_S, courier.look, name="telling")
    measuring: Measuring = app.state.measuring
    for one in group_warnings(operating_point(measuring.card, measuring.target_fmr, measuring.target_group)):
        log.warning("the engine errs", told=one)
    log.info("serving", version=__version__, profile=settings.profile, engine=measuring.card.id, purged=removed)
    yield
    # First, so that nothing is sent meanwhile that nobody would write down. It waits for no recipient.
    telling()
    courier.stop()
    stopping.set()
    renewed()
    swept()
    batched()
    await anyio.to_thread.run_sync(app.state.last_uses.write_last, app.state.vault.data)
    await anyio.to_thread.run_sync(app.state.measuring.pool.close)
    app.state.vault.data.close()
    app.state.vault.register.store.close()
    log.info("stopped")


def _made_ready(app: FastAPI) -> int:
    """Bring the stores into the state in which they may be served from. Returns how many dead rows were removed."""
    vault, clock = app.state.vault, app.state.clock
    check(vault)
    for store in (vault.data, vault.register.store):
        store.trouble.telling = True
    signing_keys.begin_log(vault, now=clock())
    enumeration_guard.begin(vault)
    try:
        ledger_log.check_not_rolled_back(vault)
        # Before the first request: a row whose key is gone must never be seen.
        removed = purge_dead_rows(vault, now=clock())
    except ForeignRegisterError as error:
        log.error("cannot serve", reason=str(error))
        raise
    destroy_discarded_keys(vault)
    _put_in_force(app)
    app.state.measuring.pool.start()
    with vault.data.read() as session:
        shipped_notices.log_outdated(session, app.state.settings)
    return removed


def _put_in_force(app: FastAPI) -> None:
    """Supersede the engine that was in force, if this is another."""
    vault, now, settings = app.state.vault, app.state.clock(), app.state.settings
    # What had its time while nobody served has ended, even if its engine is the one to come into force again.
    ending.end_superseded(vault, now=now)
    engine_history.begin(vault, app.state.measuring.card, days=settings.superseded_template_days, now=now)


def _renewing(app: FastAPI, stopping: threading.Event) -> Callable[[], None]:
    """Return what renews templates from kept photos, whenever nobody else needs the engine.

    The first time it also looks whether every template has its own label: nobody is kept waiting for that at the start.
    """
    vault, measuring = app.state.vault, app.state.measuring
    waiting = [partial(coverage.report_mislabelled, vault)]

    def may_go_on() -> bool:
        while not measuring.pool.is_quiet() and not stopping.is_set():
            stopping.wait(QUIET_S)
        return not stopping.is_set()

    def look() -> None:
        while waiting:
            waiting.pop()()
        how = renewal.Look(vault=vault, faces=measuring, tell_time=app.state.clock, may_go_on=may_go_on)
        if (done := renewal.look(how)) != renewal.Renewed():
            log.info("templates renewed", **asdict(done))

    return look


def _tidy(app: FastAPI) -> None:
    """Sweep, with what is known of which tokens were used."""
    app.state.last_uses.write(app.state.vault.data)
    run_maintenance(app.state.vault, now=app.state.clock(), settings=app.state.settings)


def _every(seconds: float, work: Callable[[], object], *, name: str) -> Callable[[], None]:
    """Do *work* now and every so many *seconds*, in a thread of its own. Returns what stops it."""
    stopped = threading.Event()

    def loop() -> None:
        while not stopped.is_set():
            try:
                work()
            except Exception as error:  # noqa: BLE001 - whatever it ran into, the next one is needed
                log.error("failed", what=name, error=type(error).__name__)
            stopped.wait(seconds)

    thread = threading.Thread(target=loop, name=name, daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join()

    return stop
