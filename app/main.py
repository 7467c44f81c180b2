"""The composition root: builds the application from the settings. The only module that picks implementations."""

from functools import partial

from fastapi import FastAPI, Request
from fastapi.routing import APIRouter
from starlette.types import Lifespan

from app import health
from app.api_texts import TEXTS, prototype_texts
from app.callbacks.webhook import WEBHOOKS
from app.comparisons import routes as comparisons
from app.compliance import notice_facts
from app.compliance.live_requirements import service as live_requirements
from app.consent import account_routes, open_routes, refusals
from app.consent import routes as consent
from app.consent.dependencies import ConsentState
from app.consent.facts import Facts
from app.db.errors import AlteredStoreError
from app.enrolment import routes as enrolment
from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.select import select_card
from app.faces.service import RunningEngine
from app.faces.workers.converted_network import CONVERTED_ENGINE, use_converted
from app.faces.workers.pool import EnginePool
from app.faces.workers.supervisor import Term
from app.jobs import serve_metrics
from app.kit.clock import Clock, utc_now
from app.kit.errors import Problem
from app.kit.version import __version__
from app.lifespan import Life
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
from app.vault.kept_answers import RequestsInProgress
from app.vault.open import open_vault
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault
from app.verification import routes as verification
from app.web import openapi_document, problems, swagger
from app.web.application_state import keep_state, state_of
from app.web.body_limits import BodyLimits
from app.web.body_memory import BodyBudgets
from app.web.callers import Authenticator
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
    state = _create_state(settings, vault, running_engine, facts=facts, token_usage=token_usage, clock=clock)
    app = _new_app(settings, lambda _app: Life(state, token_usage).running(background=background))
    keep_state(app, state)
    problems.install(app, storage=(AlteredStoreError, KekError, SealError), before_answer=_record_refusal)
    openapi_document.describe(app, WEBHOOKS)
    swagger.install(app)
    _add_middleware(app, settings, state.metrics)
    _include_routers(app, settings)
    return app


def _create_state(
    settings: Settings, vault: Vault, engine: RunningEngine, *, facts: Facts, token_usage: TokenUsage, clock: Clock
) -> ConsentState:
    return ConsentState(
        settings=settings,
        clock=clock,
        vault=vault,
        engine=engine,
        metrics=serve_metrics.create(vault, engine.pool, settings, clock),
        lanes=Lanes.of(settings),
        bodies=BodyBudgets.of(settings),
        gate=live_requirements.create_gate(vault, settings, engine, facts),
        authenticators=_authenticators(token_usage, clock),
        in_progress=RequestsInProgress(),
        sign_ups=RateLimiter("sign-ups", per_minute=settings.sign_ups_per_minute),
        recoveries=RateLimiter("recoveries", per_minute=settings.recovery_failures_per_minute),
        notice_facts=facts,
    )


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
        state = state_of(request, ConsentState)
        refusals.record_refusal(state.vault, by=request.state.principal, refused=problem, now=state.clock())


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
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
    app.add_middleware(RequestLog, metrics=metrics)
    if settings.root_path:
        app.add_middleware(RootPath, root_path=settings.root_path)
