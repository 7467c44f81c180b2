"""A request with an Idempotency-Key is killed at a commit and repeated after the restart: it has one effect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.crash.preparations import PHOTOS, Story, consented
from tests.crash.process_launcher import MOMENT, ProcessLauncher, Spot, StoppedClock, Trial
from tests.support import service_fixture
from tests.support.byte_scan import rows
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
EFFECTS = ("subjects", "tokens", "consent_events", "grants", "templates", "comparisons", "receipts", "entries")
STEPS = ("mien.db written", "mien.db committed")
"""Steps just before and just after the commit."""


def sign_up(story: Story) -> httpx.Response:
    return story.ada.client.post("/v1/subjects", json={"declared_adult": True}, headers=KEY)


def consent(story: Story) -> httpx.Response:
    notices = {one["purpose"]: one["sha256"] for one in story.ada("GET", "/v1/notices").json()["items"]}
    body = {"purpose": "verification", "relying_party_id": story.doors["Side"].id}
    body["notice_sha256"] = notices["verification"]
    return story.ada("POST", "/v1/me/consents", json=body, headers=KEY)


def enrolment(story: Story) -> httpx.Response:
    data, files = {"consent_id": story.about["consent"]}, {"photos": PHOTOS[0]}
    return story.ada("POST", "/v1/me/enrolments", data=data, files=files, headers=KEY)


def verification(story: Story) -> httpx.Response:
    data, files = {"subject_ref": story.references[0][1]}, {"probe": toy_photo(1)}
    return story.door("POST", "/v1/verifications", data=data, files=files, headers=KEY)


OPERATIONS: dict[str, Callable[[Story], httpx.Response]] = {
    "sign-up": sign_up,
    "consent": consent,
    "enrolment": enrolment,
    "verification": verification,
}


@pytest.fixture(scope="module")
def launcher() -> ProcessLauncher:
    """Return the launcher of the processes."""
    return ProcessLauncher()


@pytest.fixture(scope="module")
def state_before(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Story]:
    """Return the stores of a service with an enrolled person, and its people."""
    root = service_fixture.copied(prepared, tmp_path_factory.mktemp("before") / "service")
    clock = StoppedClock(MOMENT)
    with service_fixture.serving(root, service_fixture.ToyPool(), toy_card(), clock=clock) as service:
        story = consented(service)
        story.doors["Side"] = service.party("Side")
    return root, story


def counted(root: Path) -> dict[str, int]:
    """Count the rows of the tables that an effect adds to."""
    query = "SELECT count(*) FROM {}"
    return {table: rows(root / "data" / "mien.db", query.format(table))[0][0] for table in (*EFFECTS, "kept_answers")}


def added(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {table: after[table] - count for table, count in before.items() if after[table] != count}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("name", OPERATIONS)
def test_request_killed_at_a_commit_and_repeated_has_one_effect(
    name: str, step: str, launcher: ProcessLauncher, state_before: tuple[Path, Story], tmp_path: Path
) -> None:
    (template, story), send = state_before, OPERATIONS[name]
    whole: dict[str, Any] = {}
    for spot in (None, Spot(name, step)):
        root = service_fixture.copied(template, tmp_path / ("killed" if spot else "whole"))
        before = counted(root)
        if spot is not None:
            with launcher.service(Trial(root, MOMENT, kill_at=spot)) as process:
                with pytest.raises(httpx.TransportError):
                    send(story.at(process.client))
                process.killed()
            assert bool(added(before, counted(root))) == (step == STEPS[1])
        with launcher.service(Trial(root, MOMENT)) as process:
            first, again = send(story.at(process.client)), send(story.at(process.client))
            process.finish()

        assert first.is_success, first.text
        assert again.content == first.content
        whole = whole or added(before, counted(root))
        assert added(before, counted(root)) == whole

    assert whole["kept_answers"] == 1
