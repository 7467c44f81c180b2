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

STORES = ("sqlite", "postgresql")

share_routes()
# A shell starts background jobs with SIGINT ignored, and their child processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
_outside = OutsideWatch()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `--store postgresql` run services on PostgreSQL."""
    parser.addoption("--store", choices=STORES, default=STORES[0], help="The stores of services in the tests.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test marked `both_stores` on each kind of store."""
    if any(metafunc.definition.iter_markers("both_stores")) and "store_kind" in metafunc.fixturenames:
        metafunc.parametrize("store_kind", STORES, indirect=True, scope="module")


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


@pytest.fixture(scope="session")
def prepared_on_clusters(
    clusters: postgres_clusters.Clusters, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, postgres_clusters.Databases]:
    """The same on PostgreSQL: the directories, and the databases that are copied for each test."""
    root, databases = tmp_path_factory.mktemp("prepared_on_clusters") / "service", clusters.create()
    service_fixture.name_databases(root, databases)
    service_fixture.prepare(root)
    return root, databases


@pytest.fixture(scope="module")
def store_kind(request: pytest.FixtureRequest) -> str:
    """The kind of the stores of a service: see `pytest_generate_tests`."""
    return str(getattr(request, "param", request.config.getoption("--store")))


@pytest.fixture(scope="module")
def make_root(store_kind: str, request: pytest.FixtureRequest) -> Iterator[service_fixture.MakeRoot]:
    """Return a function that makes a fresh copy of the prepared databases."""
    made: list[postgres_clusters.Databases] = []

    def make(root: Path) -> Path:
        if store_kind == "sqlite":
            return service_fixture.copied(request.getfixturevalue("prepared"), root)
        template, like = request.getfixturevalue("prepared_on_clusters")
        made.append(request.getfixturevalue("clusters").create(like))
        service_fixture.name_databases(service_fixture.copied(template, root), made[-1])
        return root

    yield make
    for databases in made:
        request.getfixturevalue("clusters").drop(databases)


@pytest.fixture
def root(make_root: service_fixture.MakeRoot, tmp_path: Path) -> Path:
    """A fresh copy of the prepared databases."""
    return make_root(tmp_path / "service")


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
