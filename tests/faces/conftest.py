"""Fixtures: pools of workers, permits, and the pictures of ``tests/images``."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from app.faces import vectors
from app.faces.cards.card import Card, load_card
from app.faces.engine import Metric
from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from app.faces.workers.pool import EnginePool
from app.main import engine_of
from tests.support import toy_engine

REAL_SPEC = "app.faces.engines.face_recognition:FaceRecognition"
_IMAGES = Path(__file__).parents[1] / "images"
_MEMORY_BYTES = 1 << 30

MakePool = Callable[..., EnginePool]


@pytest.fixture
def permit() -> Permit:
    return Permit(grant_ids=(uuid.uuid4(),))


@pytest.fixture
def keeping_permit() -> Permit:
    return Permit(grant_ids=(uuid.uuid4(),), keeps_photos=True)


@pytest.fixture(scope="session")
def image() -> Callable[[str], bytes]:
    """Return the bytes of a file of ``tests/images``."""
    return lambda name: (_IMAGES / name).read_bytes()


@pytest.fixture
def make_pool() -> Iterator[MakePool]:
    """Return a maker of started toy pools, which are closed after the test."""
    pools: list[EnginePool] = []

    def make(**changes: Any) -> EnginePool:
        options: dict[str, Any] = {
            "engine": toy_engine.SPEC,
            "card": toy_engine.toy_card(),
            "workers": 1,
            "queue": 4,
            "timeout_s": 10.0,
            "memory_bytes": _MEMORY_BYTES,
        }
        pool = EnginePool(**(options | changes))
        pools.append(pool)
        pool.start()
        return pool

    yield make
    for pool in pools:
        pool.close()


@pytest.fixture(scope="session")
def toy_pool() -> Iterator[EnginePool]:
    """Return a pool of two toy workers, for tests that end none of them."""
    card = toy_engine.toy_card()
    options: dict[str, Any] = {"workers": 2, "queue": 250, "timeout_s": 10.0, "memory_bytes": _MEMORY_BYTES}
    pool = EnginePool(engine=toy_engine.SPEC, card=card, **options)
    pool.start()
    yield pool
    pool.close()


@pytest.fixture(scope="session")
def real_pool() -> Iterator[EnginePool]:
    """Return a pool with a worker of the default engine."""
    with pool_of("face_recognition", workers=1) as pool:
        yield pool


@contextmanager
def pool_of(engine: str | Card, *, workers: int = 2) -> Iterator[EnginePool]:
    """Run workers of a shipped engine, by its id or its card."""
    card = load_card(engine) if isinstance(engine, str) else engine
    options: dict[str, Any] = {"workers": workers, "queue": 50, "timeout_s": 20.0, "memory_bytes": _MEMORY_BYTES}
    pool = EnginePool(engine=engine_of(card), card=card, **options)
    pool.start()
    yield pool
    pool.close()


def distance(one: object, other: object, metric: Metric = "l2") -> float:
    """Return the distance of two measurements."""
    assert isinstance(one, Measurement)
    assert isinstance(other, Measurement)
    return vectors.distance(one.vector, other.vector, metric=metric)
