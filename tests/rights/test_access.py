"""Access: one complete and valid document, as often as asked for; a partial one is not valid."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from jsonschema import Draft202012Validator, FormatChecker
from sqlalchemy import Table, insert
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.comparisons.tables import Comparison
from app.main import create_app
from app.rights import access, explanations, personal_data, receipts
from app.transparency.tables import EntryRow
from app.vault.register import Owner
from app.vault.sealing_context import sealing_context
from app.vault.vault import Vault
from tests.rights.complete_person import complete_person, document, unzipped
from tests.support.service_fixture import Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until

OFTEN = 2_000
PATHS = ["/v1/me/access", "/v1/me/export"]
RESTRICTION = ("PUT", "/v1/me/restriction")

formats = FormatChecker()
formats.checks("date-time", raises=ValueError)(lambda value: datetime.fromisoformat(str(value)).tzinfo is UTC)


def validator(service: RunningService) -> Draft202012Validator:
    """Return a validator of documents against the published schema."""
    published = service.client.get("/v1/schemas/access").json()
    Draft202012Validator.check_schema(published)
    return Draft202012Validator(published, format_checker=formats)


def with_comparisons(service: RunningService, person: Person, many: int) -> None:
    """Give a person a long history."""
    subject_id = UUID(person.subject_id)
    key = service.vault.register.key(Owner.subject(subject_id))
    record = json.dumps({"at": service.clock().isoformat(), "decision": "match", "of": "x" * 150}).encode()
    with service.vault.data.write() as session:
        for table, content in ((EntryRow, b"{}"), (Comparison, record)):
            ids = {position: UUID(int=position) for position in range(1, many + 1)}
            rows = [
                {
                    "id": id_,
                    "subject_id": subject_id,
                    "position": n,
                    "sealed": key.seal(content, sealing_context(table.sealed, id_)),
                }
                for n, id_ in ids.items()
            ]
            session.execute(insert(table), rows)


@pytest.fixture
def erased_midway(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> Callable[[Person], None]:
    """Return a function that erases a person in the middle of the next reading of their comparisons."""

    def arm(person: Person) -> None:
        read = personal_data.read_rows

        def read_rows(
            vault: Vault, *, subject_id: UUID, table: Table, **more: Any
        ) -> Iterator[dict[str, personal_data.Value]]:
            for number, row in enumerate(read(vault, subject_id=subject_id, table=table, **more)):
                if table.name == "comparisons" and number == personal_data.PAGE // 2:
                    done = person("DELETE", "/v1/me")
                    assert done.json()["status"] == "completed", "an erasure does not wait for a reader"
                yield row

        monkeypatch.setattr(personal_data, "read_rows", read_rows)

    return arm


def test_document_is_valid_by_the_published_schema(service: RunningService) -> None:
    whole = complete_person(service)
    check = validator(service)

    check.validate(document(whole.person))
    check.validate(document(service.person(None)))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found["data"].pop("templates"),
        lambda found: found["data"]["subjects"][0].pop("name"),
        lambda found: found["data"]["subjects"][0].update(id="no uuid"),
        lambda found: found["data"]["tokens"][0].update(created_on="long ago"),
        lambda found: found["data"].update(secrets=[]),
        lambda found: found.update(made_at="now"),
    ],
)
def test_document_that_lacks_something_is_not_valid(
    service: RunningService, spoil: Callable[[dict[str, Any]], None]
) -> None:
    found = document(complete_person(service).person)
    spoil(found)

    assert not validator(service).is_valid(found)


def test_document_names_purposes_recipients_and_logic(service: RunningService) -> None:
    whole = complete_person(service)
    found = document(whole.person)
    renewal, verification = sorted(found["purposes"], key=lambda one: str(one["purpose"]))

    assert verification["relying_party"] == "Door"
    assert renewal["relying_party"] is None
    assert service.client.get(verification["notice"]).status_code == 200
    assert {one["name"] for one in found["recipients"]} == {"Door", "Former Door"}
    assert found["logic"]["threshold"] == pytest.approx(0.54)
    assert len(found["data"]["templates"]) == 1
    assert found["data"]["templates"][0]["engine_id"] == "toy"
    assert set(found["data"]["templates"][0]["content"]) == {"file", "bytes", "sha256"}


def test_every_right_in_the_document_has_its_route(service: RunningService) -> None:
    app = create_app(service.settings, service.vault, (service.pool, toy_card()))
    routes = {(method, str(one.path)) for one in iter_route_contexts(app.routes) for method in one.methods or ()}
    named = [tuple(right.how.split(",")[0].split(" ")) for right in explanations.RIGHTS if "/v1/" in right.how]

    assert len(named) >= 5
    assert set(named) <= routes
    assert (RESTRICTION in named) == (RESTRICTION in routes), (
        "explanations.RIGHTS names restriction once there is a route"
    )


@pytest.mark.parametrize("path", PATHS)
def test_only_a_person_has_access(service: RunningService, path: str) -> None:
    party = service.party()

    assert service.client.get(path).status_code == 401
    assert party("GET", path).status_code == 403


@pytest.mark.parametrize("path", PATHS)
def test_no_cache_stores_the_answer(service: RunningService, path: str) -> None:
    assert service.person()("GET", path).headers["Cache-Control"] == "no-store"


def test_access_is_counted_by_day(service: RunningService) -> None:
    person = service.person()
    for path in [*PATHS, PATHS[0]]:
        person("GET", path)
    today = service.clock().date()
    service.clock.advance(days=1)
    found = document(person)["data"]["access_counts"]

    assert sorted((one["on_day"], one["times"]) for one in found) == [
        (today.isoformat(), 3),
        (service.clock().date().isoformat(), 1),
    ]


def test_full_disk_does_not_refuse_a_right(service: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
    person = service.person()

    def full(**_patience: float) -> None:
        raise OperationalError("", None, Exception("database or disk is full"))

    monkeypatch.setattr(service.vault.data, "write", full)

    assert document(person)["data"]["access_counts"] == []


@pytest.mark.parametrize("path", PATHS)
def test_access_does_not_wait_for_another_writer(root: Path, pool: SharedPool, path: str) -> None:
    """The rebuild of a large store blocks every writer for seconds."""
    # A request that waits for the writer would not end.
    with serving(root, pool, toy_card(), sqlite_busy_s=3600) as service:
        person = service.person()
        with service.vault.data.write():
            answer = person("GET", path)

        assert answer.status_code == 200
        assert document(person)["data"]["access_counts"][0]["times"] == 1, "only the second access was counted"


def test_receipts_of_access_have_a_limit_of_a_day_and_other_receipts_have_none(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "MAX_ACCESS_RECEIPTS", 3)
    person = service.person()

    def ask() -> str:
        answer = person("GET", PATHS[0], params={"receipt": "true"})
        leaf: str = answer.json()["receipt"]["leaf"]
        return leaf

    leaves = [ask() for _ in range(5)]
    person("PATCH", "/v1/me", json={"display_name": "Ada"}).raise_for_status()
    same = ask()
    counted = document(person)["data"]["access_counts"][0]["times"]
    service.clock.advance(seconds=24 * 3600)
    next_day = ask()
    kinds = [one["kind"] for one in person("GET", "/v1/me/receipts").json()["items"]]

    assert len(set(leaves[:3])) == 3
    assert set(leaves[2:]) == {same} == {leaves[2]}
    assert next_day not in leaves
    assert counted == 7, "every request is counted"
    assert kinds == ["access", "rectification", "access", "access", "access"]


@pytest.mark.slow
def test_every_one_of_many_requests_is_answered(service: RunningService) -> None:
    person = service.person()
    codes = [person("GET", PATHS[0]).status_code for _ in range(OFTEN)]

    assert codes == [200] * OFTEN


GIVING = {
    ("post", "/v1/me/consents"),
    ("post", "/v1/me/consents/{consent_id}/renewal"),
    ("delete", "/v1/me/restriction"),
    ("delete", "/v1/me/comparisons/{comparison_id}/dispute"),
}
"""Each is the opposite of a right, and leaves a receipt (`tests/subjects/test_daily_receipts.py`)."""


def test_no_route_of_a_right_can_answer_429(service: RunningService) -> None:
    described = service.client.get("/openapi.json").json()["paths"]
    rights = {path: found for path, found in described.items() if path.startswith(("/v1/me", "/v1/erasures"))}
    limited = {
        (method, path) for path, found in rights.items() for method, one in found.items() if "429" in one["responses"]
    }

    assert len(rights) >= 10
    assert limited == GIVING
    assert "429" in described["/v1/subjects"]["post"]["responses"], "a limit is described where there is one"


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_breaks_off_when_its_person_is_erased(
    service: RunningService, path: str, erased_midway: Callable[[Person], None]
) -> None:
    person = service.person()
    with_comparisons(service, person, 2 * personal_data.PAGE)
    erased_midway(person)

    with capture_logs() as lines:
        with pytest.raises(httpx.RemoteProtocolError):
            person("GET", path)
        # A line is written after its answer was sent.
        wait_until(lambda: any(line["event"] == "answer broken off" for line in lines))
    warnings = [line for line in lines if line["event"] in {"fault", "answer broken off"}]

    assert person("GET", path).status_code == 401
    assert [(line["event"], line["problem"], line["log_level"]) for line in warnings] == [
        ("answer broken off", "unauthenticated", "warning")
    ]


def test_a_person_who_is_erased_before_the_first_byte_gets_401(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = service.person()

    monkeypatch.setattr(access, "count_access", lambda _request: person("DELETE", "/v1/me"))

    assert person("GET", PATHS[0]).status_code == 401


def test_a_long_history_is_complete_and_in_order(service: RunningService) -> None:
    person = service.person()
    with_comparisons(service, person, 2 * personal_data.PAGE + 1)
    found = document(person)["data"]["comparisons"]

    assert [one["position"] for one in found] == list(range(1, 2 * personal_data.PAGE + 2))


FILED = ("photos", "templates", "receipts")
"""Tables whose rows come with a file."""


def described_files(found: Mapping[str, Any]) -> set[str]:
    """Return the paths of the files that a document describes."""
    return {row["content"]["file"] for table in FILED for row in found["data"][table]}


def test_every_answer_is_complete_while_consents_begin_and_end(service: RunningService) -> None:
    whole, check, stopped = complete_person(service), validator(service), threading.Event()
    endings: list[int] = []

    def come_and_go() -> None:
        while not stopped.is_set():
            consent = service.consent(whole.person, whole.party)
            enrol(whole.person, [consent["consent_id"]], [toy_photo(1)], keep_photos="true")
            endings.append(whole.person("DELETE", f"/v1/me/consents/{consent['consent_id']}").status_code)

    thread = threading.Thread(target=come_and_go)
    thread.start()
    answers: list[httpx.Response] = []
    try:
        # The rounds of both threads take as long, so that a reading meets each phase of a consent.
        while thread.is_alive() and (len(answers) < 10 or len(endings) < 5):
            answers += [whole.person("GET", path) for path in PATHS]
    finally:
        stopped.set()
        thread.join()

    assert {answer.status_code for answer in answers} == {*endings} == {200}
    for access_document, exported in zip(answers[::2], answers[1::2], strict=True):
        check.validate(access_document.json())
        check.validate(json.loads(unzipped(exported.content)["mien.json"]))
