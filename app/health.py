"""Liveness, readiness and metrics, computed on each request; only the trial write is kept for a second."""

import ipaddress
from typing import Literal

from fastapi import APIRouter, Request, Response
from prometheus_client import generate_latest
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError

from app.compliance import shipped_notices
from app.compliance.live_requirements import service as live_requirements
from app.compliance.live_requirements.policy import group_warnings
from app.consent.dependencies import NoticeFacts
from app.db.faults import explain_fault
from app.kit.errors import NotFoundError, OperatorError
from app.transparency.log.service import check_not_rolled_back as check_log
from app.vault.open import check
from app.web.auth import OpenRoute
from app.web.dependencies import AppEngine, AppMetrics, AppSettings, AppVault
from app.web.metrics import CONTENT_TYPE
from app.web.openapi import Example, media_response, merge_responses, problem_responses, with_examples

router = APIRouter(tags=["operators"], route_class=OpenRoute)

NO_CLOCK = (
    "keys: no clock turns the key-encryption key, so old copies on the register's server open until you rotate it: "
    "keep it in a file or in OpenBao, with MIEN_KEK_ROTATE_HOURS, or rotate it daily (docs/how-to/manage-keys.md)"
)
READY: Example = {
    "status": "ready",
    "reasons": [],
    "warnings": [],
    "profile": "prototype",
    "controller": "demonstration controller: not for real people's data",
    "engine": "face_recognition",
    "engine_workers": 2,
    "weights_verified": True,
    "sandbox": {"level": "full", "missing": []},
    "key_protection": "file",
    "keys_apart": True,
}


class LiveOut(BaseModel):
    """The process runs."""

    model_config = ConfigDict(json_schema_extra=with_examples({"status": "live"}))

    status: Literal["live"] = "live"


class SandboxOut(BaseModel):
    """The isolation of the engine workers on this machine."""

    level: Literal["full", "reduced", "unknown"]
    missing: list[str]


class ReadyOut(BaseModel):
    """Whether the service can handle requests, and its configuration."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(READY))

    status: Literal["ready", "not ready"]
    reasons: list[str]
    warnings: list[str]
    """Groups of people for which the engine misses its target, and stale notices; in `live` advice beyond the
    requirements, of which true notices are one. And why the engine runs slower than it can."""
    profile: Literal["prototype", "live"]
    controller: str
    engine: str
    engine_workers: int
    weights_verified: bool
    sandbox: SandboxOut
    key_protection: Literal["file", "setting", "transit"]
    keys_apart: bool
    """Whether the register is outside the data directory."""


@router.get("/livez")
async def check_liveness() -> LiveOut:
    """Check that the process runs. Any answer means that it does."""
    return LiveOut()


@router.get("/readyz", responses={503: {"model": ReadyOut}})
def check_readiness(
    response: Response, engine: AppEngine, vault: AppVault, settings: AppSettings, facts: NoticeFacts
) -> ReadyOut:
    """Check that the service is ready.

    It is ready if the databases have the current schema, the register opens and the engine's files are verified. Both
    stores must take a write, and the disk space kept for endings must be whole. In the `live` profile all live
    requirements must be met too (docs/how-to/go-live.md). Otherwise: 503 and the reasons.
    """
    pool = engine.pool.status()
    reasons, warnings = _find_faults(vault, engine, settings, facts)
    if not pool.ready:
        reasons.insert(0, f"engine: {pool.reason}")
    if reasons:
        response.status_code = 503
    return ReadyOut(
        status="not ready" if reasons else "ready",
        reasons=reasons,
        warnings=warnings,
        profile=settings.profile,
        controller=settings.controller,
        engine=pool.engine,
        engine_workers=pool.workers,
        weights_verified=pool.weights_verified,
        sandbox=SandboxOut(level=pool.sandbox, missing=list(pool.missing)),
        key_protection=settings.key_protection,
        keys_apart=settings.keys_apart,
    )


def _find_faults(
    vault: AppVault, engine: AppEngine, settings: AppSettings, facts: NoticeFacts
) -> tuple[list[str], list[str]]:
    """Return the reasons why the service is not ready, without the engine's own, and the warnings."""
    reasons: list[str] = []
    warnings = list(group_warnings(engine.operating_point))
    slower = [] if engine.card.not_converted is None else [f"engine: {engine.card.not_converted}"]
    try:
        check(vault)
        check_log(vault)
        if settings.profile == "live":
            found = live_requirements.check(
                vault,
                settings=settings,
                card=engine.card,
                facts=facts,
                sandbox=engine.pool.status().missing_if_known,
            )
            reasons += [f"live: {item.name}: {item.found}; {item.do}" for item in found.missing]
            warnings = list(found.warnings)
        else:
            warnings += shipped_notices.stale_in_words(vault, facts)
        warnings += slower
        if settings.database_url is not None and not settings.kek_turn_hours:
            warnings.append(NO_CLOCK)
        reasons += filter(None, (store.find_write_fault() for store in (vault.data, vault.register.store)))
        reasons += [
            f"another program changed rows of {table}: restore a backup, and start the service again"
            for table in vault.codes.find_forged(vault.data)
        ]
    except OperatorError as error:
        reasons.append(str(error))
    except DBAPIError as error:
        _, means = explain_fault(error.orig)
        reasons.append(f"the databases cannot be read: {means}")
    return reasons, warnings


@router.get(
    "/metrics",
    response_class=Response,
    responses=merge_responses(
        problem_responses(NotFoundError), media_response("text/plain", "Metrics in the text format of Prometheus.")
    ),
)
def get_metrics(request: Request, counts: AppMetrics, settings: AppSettings) -> Response:
    """Read metrics.

    The setting `MIEN_METRICS` decides who may read them. No label names a person or a relying party.
    """
    if settings.metrics == "off" or (settings.metrics == "local" and not _from_this_machine(request)):
        raise NotFoundError
    return Response(generate_latest(counts.registry), media_type=CONTENT_TYPE)


def _from_this_machine(request: Request) -> bool:
    proxied = "forwarded" in request.headers or "x-forwarded-for" in request.headers
    host = request.client.host if request.client is not None else ""
    try:
        return ipaddress.ip_address(host).is_loopback and not proxied
    except ValueError:
        return False
