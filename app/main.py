"""The composition root: builds the application from the settings. The only module that picks implementations."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import anyio.to_thread
import structlog
from fastapi import FastAPI, Request
from fastapi.routing import APIRouter
from starlette.types import Lifespan

from app import health
from app.api_texts import TEXTS, prototype_texts
from app.callbacks.webhook import WEBHOOKS
from app.comparisons import routes as comparisons
from app.compliance import notice_facts
from app.compliance.live_requirements import service as live_requirements
from app.compliance.live_requirements.policy import group_warnings
from app.consent import account_routes, open_routes, refusals
from app.consent import routes as consent
from app.consent.facts import Facts
from app.db.sqlite.schema import AlteredStoreError
from app.enrolment import routes as enrolment
from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.select import select_card
from app.faces.service import RunningEngine
from app.faces.workers.converted_network import CONVERTED_ENGINE, use_converted
from app.faces.workers.pool import EnginePool
from app.faces.workers.supervisor import Term
from app.jobs import append_log_batch, deliver_callbacks, maintenance, renew_templates, scheduler, serve_metrics
from app.kit.clock import Clock, utc_now
from app.kit.errors import OperatorError, Problem
from app.kit.version import __version__
from app.parties import keys as party_keys
from app.parties import routes as parties
from app.rights import routes as rights
from app.settings import MIB, Settings
from app.startup import Run, prepare
from app.subjects import routes as subjects
from app.subjects import service as subjects_service
from app.subjects.token_usage import TokenUsage
from app.templates import engine_routes
from app.transparency import routes as transparency
from app.vault.directory_lock import serving
from app.vault.open import open_vault
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault
from app.verification import routes as verification
from app.web import openapi_document, problems, swagger
from app.web.body_limits import BodyLimits
from app.web.body_memory import BodyBudgets
from app.web.callers import Authenticator
from app.web.idempotency import RequestsInProgress
from app.web.lanes import Lanes
from app.web.metrics import Metrics
from app.web.middleware import ControllerHeader, Cors, HeadAsGet, RootPath
from app.web.rate_limit import RateLimiter
from app.web.request_log import RequestLog

ENGINES = {
    "face_recognition": "app.faces.engines.face_recognition:FaceRecognition",
    "sface": "app.faces.engines.onnx:OnnxEngine",
}
"""By the setting `MIEN_ENGINE`; imported in the engine workers only."""
CUSTOM_ENGINES = {"onnx": ENGINES["sface"], "fused": "app.faces.engines.fused:FusedNetworks"}
"""By the kind in `MIEN_ENGINE`: they run networks that the operator supplies."""

ROUTERS: tuple[APIRouter, ...] = (
    subjects.open_router,
    account_routes.router,
    subjects.router,
    transparency.router,
    open_routes.router,
    consent.router,
    consent.party_router,
    account_routes.delivery_router,
    open_routes.proof_router,
    enrolment.router,
    engine_routes.router,
    comparisons.router,
    verification.router,
    rights.open_router,
    rights.policy_router,
    rights.document_router,
    rights.router,
    parties.open_router,
    parties.router,
    health.router,
)

SWITCH_INTERVAL_S = 0.0005
"""Python's default of 5 ms is paid at each thread change of a request while another thread computes."""

log = structlog.get_logger()


def engine_of(card: Card) -> str:
    """Return the class of a shipped engine by its card."""
    return CONVERTED_ENGINE if "converted" in card.settings else ENGINES[card.id]


def create_engine(settings: Settings, *, calibrated: bool = True) -> tuple[EnginePool, Card]:
    """Create the engine pool that the settings name; no worker runs yet.

    Raises:
        CustomEngineError: as `select_card`.
    """
    card = use_converted(select_card(settings, calibrated=calibrated), settings.data_dir)
    pool = EnginePool(
        engine=CUSTOM_ENGINES.get(settings.engine_kind) or engine_of(card),
        card=card,
        workers=settings.engine_workers,
        queue=settings.engine_queue,
        timeout_s=settings.engine_timeout_s,
        memory_bytes=settings.engine_memory_mib * MIB,
        max_pixels=settings.max_pixels,
        term=Term(settings.engine_worker_images, settings.engine_worker_age_s),
    )
    return pool, card


def choose_threshold(settings: Settings, engine: tuple[EnginePool, Card]) -> RunningEngine:
    """Return the engine with the threshold that the settings select from its card.

    Raises:
        UnsupportedTargetError: the card supports no such target.
    """
    pool, card = engine
    at = operating_point.choose_operating_point(card, settings)
    return RunningEngine(
        pool=pool, card=card, target_fmr=at.target_fmr, target_group=at.target_group, threshold=at.threshold
    )


def create_app(
    settings: Settings,
    vault: Vault,
    engine: tuple[EnginePool, Card],
    *,
    clock: Clock = utc_now,
    background: bool = True,
) -> FastAPI:
    """Prepare the stores and create the application. It closes the stores when it stops.

    Args:
        vault: both stores, open.
        engine: the engine pool and its card.
        background: whether jobs run beside the requests.

    Raises:
        UnsupportedTargetError: the engine's card supports no such `target_fmr`.
        Exception: a start step of `Run.COMMAND` failed.
    """
    running_engine, token_usage = choose_threshold(settings, engine), TokenUsage(clock)
    facts = notice_facts.collect(settings, running_engine.card)
    prepare(vault, settings, Run.COMMAND, clock=clock, facts=facts)
    metrics = serve_metrics.create(vault, running_engine.pool, settings, clock)
    service = _Service(settings, vault, running_engine, facts, token_usage, metrics, clock, Lanes.of(settings))
    app = _new_app(settings, lambda _app: service.running(background=background))
    app.state.settings, app.state.clock, app.state.engine = settings, clock, running_engine
    app.state.vault, app.state.data, app.state.notice_facts = vault, vault.data, facts
    app.state.gate = live_requirements.create_gate(vault, settings, running_engine, facts)
    app.state.metrics, app.state.in_progress, app.state.lanes = metrics, RequestsInProgress(), service.lanes
    app.state.bodies = BodyBudgets.of(settings)
    app.state.authenticators = _authenticators(token_usage, clock)
    app.state.sign_ups = RateLimiter("sign-ups", per_minute=settings.sign_ups_per_minute)
    app.state.recoveries = RateLimiter("recoveries", per_minute=settings.recovery_failures_per_minute)
    problems.install(app, storage=(AlteredStoreError, KekError, SealError), before_answer=_record_refusal)
    openapi_document.describe(app, WEBHOOKS)
    swagger.install(app)
    _add_middleware(app, settings)
    _include_routers(app, settings)
    return app


def _new_app(settings: Settings, lifespan: Lifespan[FastAPI]) -> FastAPI:
    return FastAPI(
        **(TEXTS if settings.profile == "live" else prototype_texts(settings.controller)),
        version=__version__,
        # The framework's pages load scripts from another host; `app/web/swagger.py` has local ones.
        docs_url=None,
        redoc_url=None,
        # `app/web/openapi_document.py` encodes the document once.
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )


def _include_routers(app: FastAPI, settings: Settings) -> None:
    for router in ROUTERS:
        uploads = router is verification.router
        app.include_router(router, max_body_size=settings.max_body_bytes if uploads else settings.max_json_bytes)
    app.include_router(enrolment.upload_router, max_body_size=settings.max_enrolment_bytes)


def build(settings: Settings) -> FastAPI:
    """Open the stores that the settings name and create the application on them."""
    # Before the stores: if the engine prevents the start, no store is created.
    engine = create_engine(settings)
    return create_app(settings, open_vault(settings), engine)


def _authenticators(token_usage: TokenUsage, clock: Clock) -> dict[str, Authenticator]:
    return {
        subjects_service.ACCESS_PREFIX: token_usage.recording(subjects_service.authenticate),
        party_keys.KEY_PREFIX: partial(party_keys.authenticate, clock=clock),
    }


def _record_refusal(request: Request, problem: Problem) -> None:
    if isinstance(problem, refusals.RECORDED_REFUSALS):
        state = request.app.state
        refusals.record_refusal(state.vault, by=request.state.principal, refused=problem, now=state.clock())


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """Wrap *app* in middleware, from the inside out."""
    app.add_middleware(BodyLimits, body_s=settings.body_timeout_s, gap_s=settings.body_gap_s)
    app.add_middleware(problems.InternalErrors)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "traceparent", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    if settings.profile == "prototype":
        app.add_middleware(ControllerHeader, controller=settings.controller)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestLog, metrics=app.state.metrics)
    if settings.root_path:
        app.add_middleware(RootPath, root_path=settings.root_path)


@dataclass(frozen=True, slots=True)
class _Service:
    """The objects that live as long as the application."""

    settings: Settings
    vault: Vault
    engine: RunningEngine
    facts: Facts
    token_usage: TokenUsage
    metrics: Metrics
    clock: Clock
    lanes: Lanes

    @asynccontextmanager
    async def running(self, *, background: bool) -> AsyncIterator[None]:
        """Take the last start steps, run the jobs beside the requests, and close everything at the end."""
        settings, vault, card = self.settings, self.vault, self.engine.card
        with ExitStack() as held:
            threads = settings.request_threads + self.lanes.own_threads
            anyio.to_thread.current_default_thread_limiter().total_tokens = threads
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            purged = self._prepare(held)
            for warning in group_warnings(self.engine.operating_point):
                log.warning("the engine misses its target", warning=warning)
            log.info("serving", version=__version__, profile=settings.profile, engine=card.id, purged=purged)
            with (
                serve_metrics.listening(settings.metrics_listen, self.metrics.registry),
                scheduler.running(self._jobs() if background else (), on_success=self.metrics.note_success),
            ):
                yield
            await anyio.to_thread.run_sync(self.token_usage.write_last, vault.data)
            await anyio.to_thread.run_sync(self.engine.pool.close)
            vault.data.close()
            vault.register.store.close()
            log.info("stopped")

    def _prepare(self, held: ExitStack) -> int:
        try:
            # While the service runs, no restore replaces the data and no second service uses it.
            held.enter_context(serving(self.settings.data_dir))
            return prepare(self.vault, self.settings, Run.SERVE, clock=self.clock, engine=self.engine, facts=self.facts)
        except Exception as error:
            # The text of any other error may be personal.
            reason = str(error) if isinstance(error, OperatorError) else type(error).__name__
            log.error("cannot serve", reason=reason, notes=getattr(error, "__notes__", []))
            raise

    def _jobs(self) -> Sequence[scheduler.ScheduledJob]:
        """Return the jobs in the order in which they are stopped: first the one that sends messages."""
        settings, vault, clock = self.settings, self.vault, self.clock
        return (
            deliver_callbacks.job(settings, vault, clock=clock),
            renew_templates.job(vault, self.engine, every_s=settings.sweep_interval_s, clock=clock),
            maintenance.job(vault, settings, token_usage=self.token_usage, clock=clock),
            append_log_batch.job(vault, settings, clock=clock),
        )
