"""The key that signs messages to relying parties: made where it is missing, rotated, reported stolen."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from tests.support.launcher import run_here
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.toy_engine import toy_card
from tests.transparency.joined_leaves import open_stores


def published(service: RunningService, signs: str) -> list[dict[str, object]]:
    found = service.client.get("/.well-known/jwks.json").json()["keys"]
    return [key for key in found if key["mien_signs"] == signs]


def delete_event_key(root: Path) -> None:
    """Make the register like one of an older version, which has no key for events."""
    with closing(sqlite3.connect(root / "keys" / "register.db")) as connection, connection:
        connection.execute("DELETE FROM log_signing_keys WHERE signs = 'events'")


def test_a_register_of_an_older_version_gets_the_key_at_the_start(root: Path, pool: SharedPool) -> None:
    delete_event_key(root)
    with serving(root, pool, toy_card()) as service:
        (first,) = published(service, "events")
        others = [published(service, signs) for signs in ("receipts", "checkpoints")]
    with serving(root, pool, toy_card()) as service:
        (again,) = published(service, "events")

    assert first == again
    assert [len(keys) for keys in others] == [1, 1]
    with open_stores(root) as vault:
        assert signing_keys.current_thumbprint(vault, KeyUse.EVENTS) == first["kid"]


def test_it_is_rotated_and_reported_stolen_without_the_others(service: RunningService) -> None:
    receipts, (old,) = published(service, "receipts"), published(service, "events")
    rotated = run_here(service.root, "keys", "rotate-events", "--json")
    service.clock.advance(seconds=1)
    retired, new = published(service, "events")
    signing_keys.mark_stolen(service.vault, which=str(new["kid"]), stolen_at=service.clock(), now=service.clock())
    _, stolen, newest = published(service, "events")

    assert (rotated.exit_code, json.loads(rotated.stdout)["kid"]) == (0, new["kid"])
    assert (retired["kid"], "exp" in retired) == (old["kid"], True)
    assert (stolen["kid"], "revoked" in stolen) == (new["kid"], True)
    assert not {"exp", "revoked"} & newest.keys()
    assert published(service, "receipts") == receipts
    listed = run_here(service.root, "keys", "list").stdout
    assert sum(" events " in line for line in listed.splitlines()) == 3
