"""Whether the service lives, and whether it is ready: by asking, not by remembering."""

import ipaddress
from contextlib import suppress
from typing import Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.exc import DBAPIError

from app.compliance.live_requirements import service as lawful
from app.compliance.live_requirements.policy import group_warnings
from app.db.migrate import NewerSchemaError
from app.faces.cards.operating_point import operating_point
from app.kit.errors import NotFoundError
from app.templates import coverage
from app.transparency.log.service import check_not_rolled_back as check_log
from app.vault.open import SchemaError, check
from app.vault.seal import KekError
from app.vault.vault import ForeignRegisterError
from app.web.auth import OpenRoute
from app.web.dependencies import Config, Faces, Transactions
from app.web.metrics import CONTENT_TYPE, Metrics
from app.web.openapi import Example, media_response, merge_responses, problem_responses, with_examples

router = APIRouter(tags=["operators"], route_class=OpenRoute)

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
    """The process answers."""

    model_config = ConfigDict(json_schema_extra=with_examples({"status": "live"}))

    status: Literal["live"] = "live"


class SandboxOut(BaseModel):
    """How the engine workers are walled in on this machine."""

    level: Literal["full", "reduced", "unknown"]
    missing: list[str]


class ReadyOut(BaseModel):
    """Whether requests can be served, and what this service is."""

    model_config = ConfigDict(use_attribute_docstrings=True, json_schema_extra=with_examples(READY))

    status: Literal["ready", "not ready"]
    reasons: list[str]
    warnings: list[str]
    """In which groups of people the engine misses the target; in `live` also what else is not asked for, and should be
    known."""
    profile: Literal["prototype", "live"]
    controller: str
    engine: str
    engine_workers: int
    weights_verified: bool
    sandbox: SandboxOut
    key_protection: Literal["file", "setting"]
    keys_apart: bool
    """Whether the register is outside the data directory."""


@router.get("/livez")
def livez() -> LiveOut:
    """Ask whether the process lives. It does if it answers."""
    return LiveOut()


@router.get("/readyz", responses={503: {"model": ReadyOut}})
def readyz(response: Response, faces: Faces, vault: Transactions, config: Config) -> ReadyOut:
    """Ask whether the service is ready.

    It is if the schema is at head, the register opens and the engine is verified, and in `live` if nothing is missing
    that law asks for (docs/how-to/go-live.md); otherwise 503 and the reasons.
    """
    pool = faces.pool.status()
    reasons = [] if pool.ready else [f"engine: {pool.reason}"]
    in_force = operating_point(faces.card, faces.target_fmr, faces.target_group)
    warnings = list(group_warnings(in_force))
    try:
        check(vault)
        check_log(vault)
        if config.profile == "live":
            found = lawful.check(vault, settings=config, card=faces.card)
            reasons += [f"live: {one.name}: {one.found}; {one.do}" for one in found.missing]
            warnings = list(found.warnings)
    except (SchemaError, NewerSchemaError, ForeignRegisterError, KekError) as error:
        reasons.append(str(error))
    except DBAPIError:
        reasons.append("the databases cannot be read")
    if reasons:
        response.status_code = 503
    return ReadyOut(
        status="not ready" if reasons else "ready",
        reasons=reasons,
        warnings=warnings,
        profile=config.profile,
        controller=config.controller,
        engine=pool.engine,
        engine_workers=pool.workers,
        weights_verified=pool.weights_verified,
        sandbox=SandboxOut(level=pool.sandbox, missing=list(pool.missing)),
        key_protection="file" if config.kek is None else "setting",
        keys_apart=config.keys_apart,
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses=merge_responses(
        problem_responses(NotFoundError), media_response("text/plain", "In Prometheus' text format.")
    ),
)
def metrics(request: Request, faces: Faces, vault: Transactions, config: Config) -> Response:
    """Read counts and durations. If `MIEN_METRICS` lets you; no label names a person or a relying party."""
    if config.metrics == "off" or (config.metrics == "local" and not _from_this_machine(request)):
        raise NotFoundError
    found: Metrics = request.app.state.metrics
    pool = faces.pool.status()
    gauges = f"# TYPE mien_engine_workers gauge\nmien_engine_workers {pool.workers}\n"
    # Of a store that cannot be read nothing is counted; the rest is what the operator needs then.
    with suppress(DBAPIError), vault.data.read() as session:
        gauges += coverage.gauges(session)
    return Response(found.text() + gauges.encode(), media_type=CONTENT_TYPE)


def _from_this_machine(request: Request) -> bool:
    proxied = "forwarded" in request.headers or "x-forwarded-for" in request.headers
    host = request.client.host if request.client is not None else ""
    try:
        return ipaddress.ip_address(host).is_loopback and not proxied
    except ValueError:
        return False
