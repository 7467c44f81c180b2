"""Imported once, by the fork server: runs a little of everything, so that no child has to load or prepare it again."""

import gc
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.crash.process_launcher import StoppedClock
from tests.support.service_fixture import ToyPool, prepare, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

PATIENCE_S = 120.0


def warm_up() -> None:
    """Use each part that a trial uses, and leave no thread and no connection."""
    moment = StoppedClock(datetime.now(UTC))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "service"
        prepare(root)
        with serving(root, ToyPool(), toy_card(), clock=moment) as service:
            person, party, consent = service.enrolled()
            party.verify(consent["subject_ref"], toy_photo(1))
            for page in ("consents", "enrolments", "comparisons", "tokens", "access"):
                person("GET", f"/v1/me/{page}")
            person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
            person("DELETE", "/v1/me")
    until = time.monotonic() + PATIENCE_S
    # The server stops its own threads, but does not wait for them.
    while threading.active_count() > 1 and time.monotonic() < until:
        time.sleep(0.001)
    assert threading.active_count() == 1, "a fork would lose a thread"
    gc.collect()
    gc.freeze()


warm_up()
