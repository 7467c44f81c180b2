"""Fixtures for all tests, and the kind of each test."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.faces.workers.pool import EnginePool
from app.settings import MIB
from tests.support import postgres_clusters, service_fixture, toy_engine
from tests.support.kinds import OutsideWatch, kinds, mark_kinds
from tests.support.shared_routes import share_routes

share_routes()
# A shell starts background jobs with SIGINT ignored, and their child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
_outside = OutsideWatch()


# First, so that `-m` selects by the marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every test its kind."""
    mark_kinds(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a unit test that opens a database, starts a process or uses the network."""
    if kinds(item) != {"unit"}:
        return (yield)
    _outside.seen = set()
    try:
        result = yield
        assert not _outside.seen, f"mark this test `service`: {sorted(_outside.seen)}"
        return result
    finally:
        _outside.seen = None


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> Iterator[None]:
    """Exempt the objects of earlier modules from garbage collection.

    In a long run a collection would stop every thread for seconds, and services would end their reads as too long.
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
    """The shared pool, without hooks."""
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


@pytest.fixture(scope="session")
def clusters() -> Iterator[postgres_clusters.Clusters]:
    """Two PostgreSQL clusters, for data and register, for the whole run."""
    with postgres_clusters.running_clusters() as running:
        yield running


@pytest.fixture
def databases(clusters: postgres_clusters.Clusters) -> Iterator[postgres_clusters.Databases]:
    """A fresh, empty database in each cluster."""
    made = clusters.create()
    yield made
    clusters.drop(made)
