"""A service with the default engine, and the list of the files that it leaves behind."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.faces.cards.card import load_card
from app.faces.workers.pool import EnginePool
from app.main import ENGINES
from app.settings import MIB
from tests.rest.pictures import face
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, copied, enrol, serving


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the slug of a problem document."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    return answer.status_code, found["type"].rpartition(":")[2]


@dataclass
class RealService:
    """A running service with the default engine, an enrolled subject, and a subject for new enrolments."""

    service: RunningService
    temporary: Path
    party: Party
    subject_ref: str
    enroller: Person
    consent_id: str

    def probe(self, photo: bytes) -> httpx.Response:
        """Request a verification of *photo* as the enrolled subject."""
        return self.party.verify(self.subject_ref, photo)

    def enrol(self, photo: bytes) -> httpx.Response:
        """Enrol *photo* for the other subject."""
        return enrol(self.enroller, [self.consent_id], [photo])

    @staticmethod
    def workers() -> set[int]:
        """Return the process ids of the engine workers; a worker that exceeds a limit is replaced."""
        children = psutil.Process().children(recursive=True)
        return {child.pid for child in children if "app.faces.workers.worker" in child.cmdline()}

    def files(self) -> set[Path]:
        """Return all files of the service, without the temporary ones of SQLite."""
        found = {path for root in (self.service.root, self.temporary) for path in root.rglob("*") if path.is_file()}
        return {path for path in found if not path.name.endswith(("-wal", "-shm", "-journal"))}


@pytest.fixture(scope="module")
def real(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealService]:
    """A service with two workers of the default engine, for the tests of one file."""
    temporary = tmp_path_factory.mktemp("temporary")
    root = copied(prepared, tmp_path_factory.mktemp("real") / "service")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(temporary))
        patch.setattr(tempfile, "tempdir", None)
        pool = EnginePool(
            engine=ENGINES["face_recognition"],
            card=load_card("face_recognition"),
            workers=2,
            queue=16,
            timeout_s=20,
            memory_bytes=2048 * MIB,
        )
        pool.start()
        with serving(root, SharedPool(pool), load_card("face_recognition")) as service:
            person, party, enroller = service.person(), service.party(), service.person("Eve Canary")
            consents = [service.consent(one, party) for one in (person, enroller)]
            enrolled = enrol(person, [consents[0]["consent_id"]], [face(), face("studio_portrait")])
            assert enrolled.status_code == 201, enrolled.text
            reference, consent_id = consents[0]["subject_ref"], consents[1]["consent_id"]
            yield RealService(service, temporary, party, reference, enroller, consent_id)
        pool.close()


@pytest.fixture
def document(service: RunningService) -> dict[str, Any]:
    """Return the OpenAPI document."""
    found: dict[str, Any] = service.client.get("/openapi.json").json()
    return found
