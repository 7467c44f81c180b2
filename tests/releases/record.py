"""Record the two databases of this version, with subjects: `python -m tests.releases.record VERSION`.

Run once for a release, with its code; later versions must be able to use the recording.
"""

import json
import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from app.faces.workers.pool import EnginePool
from app.settings import MIB
from tests.support.service_fixture import Person, RunningService, SharedPool, enrol, prepare, serving
from tests.support.toy_engine import SPEC, toy_card
from tests.support.toy_faces import toy_photo

HERE = Path(__file__).parent
DATABASES = (("data", "mien"), ("keys", "register"))


def populate(service: RunningService) -> dict[str, Any]:
    """Do one of each act, and return the secrets of the callers."""
    door, gate = service.party("Door"), service.party("Gate")
    ada, _, to_door = service.enrolled(face=1, party=door)
    to_gate = service.consent(ada, gate)
    kept = service.consent(ada, None, "template_renewal")
    photos = [toy_photo(1), toy_photo(1, variant=2)]
    enrolled = enrol(ada, [to_door["consent_id"], to_gate["consent_id"]], photos, keep_photos="true")
    assert enrolled.status_code == 201, enrolled.text
    assert door.verify(to_door["subject_ref"], toy_photo(1)).json()["decision"] == "match"
    ben, _, withdrawn = service.enrolled(face=2, party=door)
    ben("DELETE", f"/v1/me/consents/{withdrawn['consent_id']}")
    assert ada("GET", "/v1/me/access").status_code == 200
    gone = service.person("Cleo")
    return {
        "people": [secrets_of(ada), secrets_of(ben)],
        "parties": [{"id": door.id, "key": door.key}, {"id": gate.id, "key": gate.key}],
        "consents": [to_door, to_gate, kept],
        "withdrawn": withdrawn,
        "erased": secrets_of(gone),
        "erasure": gone("DELETE", "/v1/me").json(),
    }


def secrets_of(person: Person) -> dict[str, str]:
    """Return the secrets of a subject."""
    return {"subject_id": person.subject_id, "token": person.token, "recovery_code": person.recovery_code}


def dump(root: Path, to: Path) -> None:
    """Write both databases as SQL, which needs no particular version of SQLite, and the key-encryption key."""
    to.mkdir()
    for directory, name in DATABASES:
        with closing(sqlite3.connect(root / directory / f"{name}.db")) as connection:
            (to / f"{name}.sql").write_text("\n".join(connection.iterdump()) + "\n")
    (to / "kek").write_bytes((root / "keys" / "kek").read_bytes())


def main(version: str) -> None:
    """Record this version."""
    card = toy_card()
    pool = EnginePool(engine=SPEC, card=card, workers=1, queue=4, timeout_s=10, memory_bytes=1024 * MIB)
    pool.start()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        prepare(root)
        with serving(root, SharedPool(pool), card) as service:
            story = populate(service)
        dump(root, HERE / version)
    (HERE / version / "story.json").write_text(json.dumps(story, indent=1) + "\n")
    pool.close()


if __name__ == "__main__":
    main(sys.argv[1])
