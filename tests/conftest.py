"""What every test may ask for."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.faces.pool import EnginePool
from app.kit.settings import MIB
from tests import house, toy_engine


@pytest.fixture(scope="module", autouse=True)
def short_pauses() -> Iterator[None]:
    """Keep the garbage collector from looking through what earlier modules left.

    In a long run that stops every thread for seconds, in which a service ends its reads as too long.
    """
    yield
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def toy_pool() -> Iterator[house.SharedPool]:
    """Two real engine workers with the toy engine, for the whole run."""
    pool = EnginePool(
        engine=toy_engine.SPEC,
        card=toy_engine.toy_card(),
        workers=house.WORKERS,
        queue=16,
        timeout_s=10,
        memory_bytes=1024 * MIB,
    )
    pool.start()
    yield house.SharedPool(pool)
    pool.close()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both databases, migrated, with the shipped notices; copied for each test."""
    root = tmp_path_factory.mktemp("prepared") / "house"
    house.prepare(root)
    return root


@pytest.fixture
def pool(toy_pool: house.SharedPool) -> Iterator[house.SharedPool]:
    """The shared pool, with nothing hung on it."""
    toy_pool.reset()
    yield toy_pool
    toy_pool.reset()


@pytest.fixture
def root(prepared: Path, tmp_path: Path) -> Path:
    """A fresh copy of the prepared databases."""
    return house.copied(prepared, tmp_path / "house")


@pytest.fixture
def mien(root: Path, pool: house.SharedPool) -> Iterator[house.House]:
    """A running service."""
    with house.serving(root, pool, toy_engine.toy_card()) as running:
        yield running
