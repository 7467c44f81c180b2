"""What every test may ask for."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.faces.workers.pool import EnginePool
from app.settings import MIB
from tests.support import service_fixture, toy_engine


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> Iterator[None]:
    """Keep the garbage collector from looking through what earlier modules left.

    In a long run that stops every thread for seconds, in which a service ends its reads as too long.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def toy_pool() -> Iterator[service_fixture.SharedPool]:
    """Two real engine workers with the toy engine, for the whole run."""
    pool = EnginePool(
        engine=toy_engine.SPEC,
        card=toy_engine.toy_card(),
        workers=service_fixture.WORKERS,
        queue=16,
        timeout_s=10,
        memory_bytes=1024 * MIB,
    )
    pool.start()
    yield service_fixture.SharedPool(pool)
    pool.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both databases, migrated, with the shipped notices; copied for each test."""
    root = tmp_path_factory.mktemp("prepared") / "service"
    service_fixture.prepare(root)
    return root


@pytest.fixture
def pool(toy_pool: service_fixture.SharedPool) -> Iterator[service_fixture.SharedPool]:
    """The shared pool, with nothing hung on it."""
    toy_pool.reset()
    yield toy_pool
    toy_pool.reset()


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A fresh copy of the prepared databases."""
    return service_fixture.copied(prepared, tmp_path / "service")


@pytest.fixture
def service(root: Path, pool: service_fixture.SharedPool) -> Iterator[service_fixture.RunningService]:
    """A running service."""
    with service_fixture.serving(root, pool, toy_engine.toy_card()) as running:
        yield running
