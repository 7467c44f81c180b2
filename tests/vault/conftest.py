"""A service with a backup, shared by the tests of backups."""

import shutil
from pathlib import Path

import pytest

from tests.support.service_fixture import SharedPool, copied, serving
from tests.support.toy_engine import toy_card
from tests.vault.operator import make_backup


@pytest.fixture(scope="session")
def backed_up_service(prepared: Path, toy_pool: SharedPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stopped service and its backup. The subject in the backup has erased everything since; another enrolled."""
    directory = tmp_path_factory.mktemp("backed-up")
    root = copied(prepared, directory / "service")
    toy_pool.reset()
    with serving(root, toy_pool, toy_card()) as service:
        person, party, _ = service.enrolled(face=1)
        make_backup(root, directory / "backup")
        person("DELETE", "/v1/me").raise_for_status()
        service.enrolled(face=2, party=party)
    return directory


@pytest.fixture
def lived_in(backed_up_service: Path, tmp_path: Path) -> Path:
    """A copy of the stopped service."""
    return copied(backed_up_service / "service", tmp_path / "service")


@pytest.fixture
def backup(backed_up_service: Path, tmp_path: Path) -> Path:
    """A copy of its backup."""
    return shutil.copytree(backed_up_service / "backup", tmp_path / "backup")
