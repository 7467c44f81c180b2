"""The composition root: settings in, an application out. The one place that picks implementations."""

from functools import partial
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.routing import APIRouter

from app import __version__, health
from app.comparisons import dispute_routes, enumeration_guard
from app.compliance import shipped_notices
from app.compliance.live_requirements import service as lawful
from app.consent import account_routes, delivery_routes, proof_routes, refusals, renewal_routes
from app.consent import routes as consent
from app.enrolment import routes as enrolment
from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.select import chosen_card
from app.faces.service import Measuring
from app.faces.workers.pool import EnginePool
from app.jobs import scheduler
from app.kit.clock import Clock, utc_now
from app.kit.errors import Problem
from app.parties import keys as party_keys
from app.parties import routes as parties
from app.rights import routes as rights
from app.settings import MIB, Settings
from app.subjects import routes as subjects
from app.subjects import service as subjects_service
from app.subjects.token_usage import TokenUsage
from app.transparency import routes as ledger
from app.transparency.log import signing_keys
from app.vault.open import is_new, migrate, open_vault
from app.vault.seal import KekError, SealError
from app.vault.vault import Vault
from app.verification import routes as matching
from app.web import openapi, problems, swagger
from app.web.auth import Authenticator
from app.web.banner import Banner
from app.web.body_limits import BodyLimits
from app.web.cors import Cors
from app.web.live_gate import LiveGate
from app.web.metrics import Metrics
from app.web.middleware import HeadAsGet
from app.web.rate_limit import RateLimiter
from app.web.request_log import RequestLog

ENGINES = {
    "face_recognition": "app.faces.engines.face_recognition:FaceRecognition",
    "sface": "app.faces.engines.onnx:OnnxEngine",
}
"""Imported in the engine workers only."""
OWN_ENGINE = ENGINES["sface"]
"""What runs a network that an operator brings."""

ROUTERS: tuple[APIRouter, ...] = (
    subjects.open_router,
    account_routes.router,
    subjects.router,
    ledger.well_known_router,
    ledger.log_router,
    ledger.router,
    consent.open_router,
    consent.router,
    renewal_routes.router,
    consent.party_router,
    delivery_routes.router,
    proof_routes.router,
    enrolment.router,
    matching.open_router,
    matching.router,
    dispute_routes.router,
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
    # The framework's own pages load from elsewhere: ours is `app/web/swagger.py`.
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
            shipped_notices.publish_shipped(session, vault.settings, now=clock())
        vault.bind()
    signing_keys.begin_log(vault, now=clock())
    enumeration_guard.begin(vault)


def create_engine(settings: Settings, *, calibrated: bool = True) -> tuple[EnginePool, Card]:
    """Make the pool of the engine that the settings name; no worker runs yet.

    Raises:
        OwnEngineError: as `chosen_card`.
    """
    card = chosen_card(settings, calibrated=calibrated)
    pool = EnginePool(
        engine=ENGINES[settings.engine] if settings.own_card is None else OWN_ENGINE,
        card=card,
        workers=settings.engine_workers,
        queue=settings.engine_queue,
        timeout_s=settings.engine_timeout_s,
        memory_bytes=settings.engine_memory_mib * MIB,
        max_pixels=settings.max_pixels,
    )
    return pool, card


def choose_threshold(settings: Settings, engine: tuple[EnginePool, Card]) -> Measuring:
    """Return the engine at the threshold that the settings pick from its card.

    Raises:
        UnsupportedTargetError: the card supports no such target.
    """
    pool, card = engine
    point = operating_point.chosen(card, settings)
    return Measuring(
        pool=pool,
        card=card,
        target_fmr=point.target_fmr,
        target_group=point.target_group,
        threshold=point.threshold,
    )


def create_app(settings: Settings, vault: Vault, engine: tuple[EnginePool, Card], *, clock: Clock = utc_now) -> FastAPI:
    """Put the application together. It opens when it starts to serve, and closes when it stops.

    Raises:
        ValueError: the engine's card supports no such `target_fmr`.
    """
    _, card = engine
    app = FastAPI(
        **_told(settings),
        version=__version__,
        lifespan=scheduler.lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    app.state.clock = clock
    app.state.vault = vault
    app.state.data = vault.data
    app.state.measuring = choose_threshold(settings, engine)
    app.state.gate = _gate(settings, vault, card)
    app.state.metrics = Metrics()
    app.state.sign_ups = RateLimiter("sign-ups", per_minute=settings.sign_ups_per_minute)
    app.state.recoveries = RateLimiter("recoveries", per_minute=settings.recovery_failures_per_minute)
    app.state.last_uses = TokenUsage(clock)
    app.state.authenticators = _authenticators(app)
    problems.install(app, storage=(KekError, SealError), met=_note_refusal)
    openapi.describe(app)
    swagger.install(app)
    _wrap(app, settings)
    for router in ROUTERS:
        uploads = router is matching.party_router
        app.include_router(router, max_body_size=settings.max_body_bytes if uploads else settings.max_json_bytes)
    app.include_router(enrolment.upload_router, max_body_size=settings.max_enrolment_bytes)
    return app


def _told(settings: Settings) -> dict[str, Any]:
    """Return what the service says of itself; in `prototype` first of all that it is one."""
    if settings.profile == "live":
        return TOLD
    return {**TOLD, "description": f"**This is a prototype, with a {settings.controller}.**\n\n{TOLD['description']}"}


def _gate(settings: Settings, vault: Vault, card: Card) -> LiveGate | None:
    """Return what asks, in `live`, whether anything is missing."""
    if settings.profile == "prototype":
        return None
    return LiveGate(lambda: not lawful.check(vault, settings=settings, card=card).missing)


def _authenticators(app: FastAPI) -> dict[str, Authenticator]:
    return {
        subjects_service.ACCESS_PREFIX: app.state.last_uses.watching(subjects_service.authenticate),
        party_keys.KEY_PREFIX: partial(party_keys.authenticate, clock=app.state.clock),
    }


def _note_refusal(request: Request, problem: Problem) -> None:
    if isinstance(problem, refusals.RECORDED_REFUSALS):
        state = request.app.state
        refusals.record_refusal(state.vault, by=request.state.principal, refused=problem, now=state.clock())


def _wrap(app: FastAPI, settings: Settings) -> None:
    """Put the middleware around *app*, from the inside out."""
    app.add_middleware(BodyLimits, body_s=settings.body_timeout_s, memory=settings.bodies_memory_mib * MIB)
    app.add_middleware(problems.Faults)
    if settings.cors_origins:
        app.add_middleware(
            Cors,
            allow_origins=[origin.strip() for origin in settings.cors_origins.split(",")],
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-Id"],
            expose_headers=["Location", "Retry-After", "X-Request-Id"],
        )
    if settings.profile == "prototype":
        app.add_middleware(Banner, controller=settings.controller)
    app.add_middleware(HeadAsGet)
    app.add_middleware(RequestLog, metrics=app.state.metrics)


def build(settings: Settings) -> FastAPI:
    """Open what the settings name and put the application on it."""
    # Before the stores: a start that is refused for its engine leaves none behind.
    engine = create_engine(settings)
    vault = open_vault(settings)
    if is_new(vault):
        set_up(vault)
    return create_app(settings, vault, engine)
