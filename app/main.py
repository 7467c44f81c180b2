"""The composition root: settings in, an application out. The one place that picks implementations."""

import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio.to_thread
import structlog
from fastapi import FastAPI, Request
from fastapi.routing import APIRouter

from app import __version__, health
from app.consent import notices, proving, refusals
from app.consent import routes as consent
from app.enrolment import routes as enrolment
from app.faces.cards import Card, load_card
from app.faces.measuring import Measuring
from app.faces.pool import EnginePool
from app.kit import openapi, problems, swagger
from app.kit.clock import Clock, utc_now
from app.kit.cors import Cors
from app.kit.errors import Problem
from app.kit.head import HeadAsGet
from app.kit.log import RequestLog
from app.kit.metrics import Metrics
from app.kit.receiving import Receiving
from app.kit.settings import MIB, Settings
from app.kit.throttle import Throttle
from app.kit.turns import take_short_turns
from app.ledger import batch, keys
from app.ledger import log as ledger_log
from app.ledger import routes as ledger
from app.matching import disputing, sweeps
from app.matching import routes as matching
from app.parties import routes as parties
from app.parties import service as parties_service
from app.rights import routes as rights
from app.rights.sweep import leave_behind, purge, sweep
from app.subjects import routes as subjects
from app.subjects import service as subjects_service
from app.vault.lock import in_use
from app.vault.opening import check, is_new, migrate, open_vault
from app.vault.seal import KekError, SealError
from app.vault.vault import ForeignRegisterError, Vault

ENGINES = {"face_recognition": "app.faces.engines.face_recognition:FaceRecognition"}
"""Imported in the engine workers only."""

LOOK_S = 1.0
"""Seconds between two looks whether a batch of the log is due."""

ROUTERS: tuple[APIRouter, ...] = (
    subjects.open_router,
    subjects.router,
    ledger.well_known_router,
    ledger.log_router,
    ledger.router,
    consent.open_router,
    consent.router,
    consent.party_router,
    proving.router,
    enrolment.router,
    matching.open_router,
    matching.router,
    disputing.router,
    matching.party_router,
    rights.open_router,
    rights.policy_router,
    rights.router,
    parties.open_router,
    parties.router,
    health.router,
)

DESCRIPTION = """
A face is compared only for a person who agreed to it, and who can see, take away and erase all of it at any time.

There are two roles, and a token for each. **A person** registers (`POST /v1/subjects`), reads the notice of a purpose
(`GET /v1/notices`), consents to it for one relying party (`POST /v1/me/consents`) and enrols photos of their own face
(`POST /v1/me/enrolments`). **A relying party**, added by the operator, asks whether a face is the one enrolled under a
reference (`POST /v1/verifications`) and learns `match` or `no_match`: no score, no name, no reason. The person sees
every such use (`GET /v1/me/comparisons`), all that is held (`GET /v1/me/access`), withdraws (`DELETE
/v1/me/consents/{consent_id}`) and leaves (`DELETE /v1/me`). Rights are never throttled.

Every error is a problem document (RFC 9457): go by the slug at the end of its `type`. Besides those listed, any address
can answer 404 `not-found`, 405 `method-not-allowed` and 500 `internal-error`.
"""
TAGS = [
    {"name": "registering", "description": "How a person begins, and gets back in. No e-mail, no password."},
    {"name": "consent", "description": "What a person agreed to, for whom, on which text, and until when."},
    {"name": "enrolment", "description": "A person's own photos become one sealed template for each consent."},
    {"name": "account", "description": "A person's name, tokens, and every use that was made of their templates."},
    {"name": "rights", "description": "Access, export and erasure: at any time, as often as one likes."},
    {
        "name": "relying party",
        "description": "Who asks whether a face is the one enrolled, for those who agreed to it.",
    },
    {"name": "open to all", "description": "What anybody can read: notices, recipients, the engine, what is kept."},
    {"name": "proof", "description": "Receipts, the keys that sign them, and the log that nobody can rewrite unseen."},
    {"name": "operators", "description": "Whether the service lives and is ready, and its numbers."},
]
TOLD: dict[str, Any] = {
    "title": "Mien",
    "summary": "Face matching that asks first.",
    "description": DESCRIPTION.strip(),
    "openapi_tags": TAGS,
    # The framework's own pages load from elsewhere: ours is `app/kit/swagger.py`.
    "docs_url": None,
    "redoc_url": None,
}
"""What the service says of itself, besides its version."""

log = structlog.get_logger()


def set_up(vault: Vault, *, clock: Clock = utc_now) -> None:
    """Bring both stores to the newest schema; new ones get the shipped notices, and then each other."""
    new = is_new(vault)
    migrate(vault)
    if new:
        with vault.data.write() as session:
            notices.publish_shipped(session, now=clock())
        vault.bind()
    keys.begin(vault, now=clock())
    sweeps.begin(vault)


def engine_of(settings: Settings) -> tuple[EnginePool, Card]:
    """Make the pool of the engine that the settings name; no worker runs yet."""
    card = load_card(settings.engine)
    pool = EnginePool(
        engine=ENGINES[settings.engine],
        card=card,
        workers=settings.engine_workers,
        queue=settings.engine_queue,
        timeout_s=settings.engine_timeout_s,
        memory_bytes=settings.engine_memory_mib * MIB,
        max_pixels=settings.max_pixels,
    )
    return pool, card


def create_app(settings: Settings, vault: Vault, engine: tuple[EnginePool, Card], *, clock: Clock = utc_now) -> FastAPI:
    """Put the application together. It opens when it starts to serve, and closes when it stops.

    Raises:
        ValueError: the engine's card supports no such `target_fmr`.
    """
    pool, card = engine
    app = FastAPI(
        **TOLD,
        version=__version__,
        lifespan=_lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.vault = vault
    app.state.data = vault.data
    app.state.measuring = Measuring(
        pool=pool,
        card=card,
        target_fmr=settings.target_fmr,
        threshold=card.threshold_at(settings.target_fmr).threshold,
    )
    app.state.metrics = Metrics()
    app.state.sign_ups = Throttle("sign-ups", per_minute=settings.sign_ups_per_minute)
    app.state.recoveries = Throttle("recoveries", per_minute=settings.recovery_failures_per_minute)
    app.state.authenticators = {
        subjects_service.ACCESS_PREFIX: subjects_service.authenticate,
        parties_service.KEY_PREFIX: parties_service.authenticate,
    }
    problems.install(app, storage=(KekError, SealError), met=_note_refusal)
    openapi.describe(app)
    swagger.install(app)
    _wrap(app, settings)
    for router in ROUTERS:
        uploads = router is matching.party_router
        app.include_router(router, max_body_size=settings.max_body_bytes if uploads else settings.max_json_bytes)
    app.include_router(enrolment.upload_router, max_body_size=settings.max_enrolment_bytes)
    return app


def _note_refusal(request: Request, problem: Problem) -> None:
    if isinstance(problem, refusals.NOTED):
        state = request.app.state
        refusals.note(state.vault, by=request.state.principal, refused=problem, now=state.clock())


def _wrap(app: FastAPI, settings: Settings) -> None:
    """Put the middleware around *app*, from the inside out."""
    app.add_middleware(Receiving, body_s=settings.body_timeout_s, memory=settings.bodies_memory_mib * MIB)
    app.add_middleware(problems.Faults)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestLog, metrics=app.state.metrics)


def build(settings: Settings) -> FastAPI:
    """Open what the settings name and put the application on it."""
    vault = open_vault(settings)
    if is_new(vault):
        set_up(vault)
    return create_app(settings, vault, engine_of(settings))


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    # As long as it serves nobody puts other data in the place of these.
    with in_use(app.state.settings.data_dir):
        async with _running(app):
            yield


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    anyio.to_thread.current_default_thread_limiter().total_tokens = settings.request_threads
    take_short_turns()
    check(app.state.vault)
    for store in (app.state.vault.data, app.state.vault.register.store):
        store.trouble.telling = True
    # Before the first request: a row whose key is gone must never be seen.
    vault, clock = app.state.vault, app.state.clock
    keys.begin(vault, now=clock())
    sweeps.begin(vault)
    try:
        ledger_log.check(vault)
        removed = purge(vault, now=clock())
    except ForeignRegisterError as error:
        log.error("cannot serve", reason=str(error))
        raise
    leave_behind(app.state.vault)
    app.state.measuring.pool.start()
    swept = _every(settings.sweep_interval_s, lambda: sweep(vault, now=clock(), settings=settings), name="sweep")
    # Looked at often, so that a batch comes when the clock says so: it does nothing until then.
    batched = _every(min(LOOK_S, settings.log_interval), lambda: batch.join(vault, now=clock()), name="batch")
    log.info("serving", version=__version__, profile=settings.profile, engine=settings.engine, purged=removed)
    yield
    swept()
    batched()
    await anyio.to_thread.run_sync(app.state.measuring.pool.close)
    app.state.vault.data.close()
    app.state.vault.register.store.close()
    log.info("stopped")


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
