"""The objects that live as long as the application, which requests read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from fastapi import FastAPI, Request

from app.faces.service import RunningEngine
from app.kit.clock import Clock
from app.settings import Settings
from app.vault.kept_answers import RequestsInProgress
from app.vault.vault import Vault
from app.web.body_memory import BodyBudgets
from app.web.callers import Authenticator
from app.web.lanes import Lanes
from app.web.live_gate import LiveGate
from app.web.metrics import Metrics
from app.web.rate_limit import RateLimiter

NAME = "mien"
"""The only attribute of FastAPI's untyped state that this program uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationState:
    """The objects that live as long as the application. A higher room may extend it."""

    settings: Settings
    clock: Clock
    vault: Vault
    engine: RunningEngine
    metrics: Metrics
    lanes: Lanes
    bodies: BodyBudgets
    gate: LiveGate | None
    """None in `prototype`, which has no live requirements."""
    authenticators: Mapping[str, Authenticator]
    """By the prefix of the tokens."""
    in_progress: RequestsInProgress
    sign_ups: RateLimiter
    recoveries: RateLimiter


S = TypeVar("S", bound=ApplicationState)


def keep_state(app: FastAPI, state: ApplicationState) -> None:
    """Give *app* its state."""
    setattr(app.state, NAME, state)


def state_of(request: Request, kind: type[S]) -> S:
    """Return the state of the application, which has this class or extends it.

    Raises:
        TypeError: it is of another class.
    """
    state = getattr(request.app.state, NAME)
    if not isinstance(state, kind):
        raise TypeError(kind.__name__)
    return state
