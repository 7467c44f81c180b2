"""A request that is repeated with its `Idempotency-Key` has one effect and gets the same answer, for 24 hours."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from app.jobs.maintenance import run_maintenance
from app.vault.kept_answers import RequestKey
from app.vault.register import Owner
from app.vault.sealing_context import sealing_context
from app.vault.tables import KeptAnswer
from tests.consent.spies import everything
from tests.rights.complete_person import document
from tests.support.byte_scan import rows
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"
KEPT = "SELECT lookup, sealed FROM kept_answers"
OTHER_KEY = "0b8b8f0e-5d41-4b9c-a5d7-7f0a9c1f5a11"


@dataclass
class Caller:
    """The people and the relying party of a test."""

    service: RunningService
    ada: Person
    door: Party
    consent: dict[str, Any]


Send = Callable[[Caller, str | None], httpx.Response]


def keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}


def sign_up(caller: Caller, key: str | None, **changed: Any) -> httpx.Response:
    body = {"declared_adult": True, "display_name": "Eve", **changed}
    return caller.service.client.post("/v1/subjects", json=body, headers=keyed(key))


def consent(caller: Caller, key: str | None, **changed: Any) -> httpx.Response:
    body = {"purpose": "template_renewal", "notice_sha256": caller.service.notice("template_renewal"), **changed}
    return caller.ada("POST", "/v1/me/consents", json=body, headers=keyed(key))


def refusal(caller: Caller, key: str | None, **changed: Any) -> httpx.Response:
    return consent(caller, key, **{"decision": "refused", **changed})


def enrolment(caller: Caller, key: str | None, face: int = 1) -> httpx.Response:
    data, files = {"consent_id": caller.consent["consent_id"]}, {"photos": toy_photo(face)}
    return caller.ada("POST", "/v1/me/enrolments", data=data, files=files, headers=keyed(key))


def verification(caller: Caller, key: str | None, face: int = 1) -> httpx.Response:
    data, files = {"subject_ref": caller.consent["subject_ref"]}, {"probe": toy_photo(face)}
    return caller.door("POST", "/v1/verifications", data=data, files=files, headers=keyed(key))


OPERATIONS: dict[str, Send] = {
    "sign-up": sign_up,
    "consent": consent,
    "refusal": refusal,
    "enrolment": enrolment,
    "verification": verification,
}
every_operation = pytest.mark.parametrize("send", OPERATIONS.values(), ids=OPERATIONS)
OTHER_BODIES: dict[str, Send] = {
    "sign-up": lambda caller, key: sign_up(caller, key, display_name="Mallory"),
    "consent": refusal,
    "enrolment": lambda caller, key: enrolment(caller, key, face=2),
    "verification": lambda caller, key: verification(caller, key, face=2),
}


@pytest.fixture
def caller(service: RunningService) -> Caller:
    """Return a person enrolled for a relying party."""
    return Caller(service, *service.enrolled(face=1))


def kept(caller: Caller) -> int:
    return len(rows(in_file(caller.service.vault.data).path, KEPT))


def effects(caller: Caller) -> list[tuple[Any, ...]]:
    """Return the rows of every other table."""
    found = everything(caller.service.vault)
    return [row for name, table in found.items() if name != "mien.kept_answers" for row in table]


@every_operation
def test_repetition_has_no_further_effect_and_gets_the_same_bytes(caller: Caller, send: Send) -> None:
    first = send(caller, KEY)
    done = effects(caller)
    again = send(caller, KEY)

    assert first.status_code == (200 if send is verification else 201), first.text
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["cache-control"] == "no-store"
    assert effects(caller) == done


@every_operation
def test_without_a_key_or_with_another_each_request_has_its_effect(caller: Caller, send: Send) -> None:
    first, keyless, other = send(caller, KEY), send(caller, None), send(caller, OTHER_KEY)

    assert first.is_success
    assert keyless.is_success
    assert other.is_success
    if send is not consent:
        assert len({first.content, keyless.content, other.content}) == 3


@pytest.mark.parametrize("name", OTHER_BODIES)
def test_key_with_another_body_is_refused_and_nothing_is_done(caller: Caller, name: str) -> None:
    first = OPERATIONS[name](caller, KEY)
    done = effects(caller)
    other = OTHER_BODIES[name](caller, KEY)

    assert other.status_code == 422
    assert other.json()["type"] == "urn:mien:problem:idempotency-key-reused"
    assert effects(caller) == done
    assert OPERATIONS[name](caller, KEY).content == first.content


def test_quoted_key_of_the_draft_is_the_same_key(caller: Caller) -> None:
    first, quoted = sign_up(caller, KEY), sign_up(caller, f'"{KEY}"')

    assert first.status_code == 201
    assert quoted.content == first.content


def test_same_key_of_another_caller_or_for_another_operation_is_another_key(caller: Caller) -> None:
    bob = Caller(caller.service, *caller.service.enrolled(face=1, party=caller.service.party("Gate")))
    answers = [send(one, KEY) for one in (caller, bob) for send in (consent, enrolment, verification)]

    assert all(answer.is_success for answer in answers)
    assert len({answer.content for answer in answers}) == 6


@pytest.mark.parametrize("key", ["", '"', '""', '"a', "a b", "a,b", "ä" * 30, "x" * 256, '"a";p=1', "a\\b"])
def test_malformed_key_is_refused(caller: Caller, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    headers.append((b"Authorization", f"Bearer {caller.ada.token}".encode()))
    body = {"purpose": "template_renewal", "notice_sha256": caller.service.notice("template_renewal")}
    answer = caller.service.client.post("/v1/me/consents", json=body, headers=headers)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"


def test_two_keys_are_refused(caller: Caller) -> None:
    headers = [("Idempotency-Key", KEY), ("Idempotency-Key", OTHER_KEY)]
    answer = caller.service.client.post("/v1/subjects", json={"declared_adult": True}, headers=headers)

    assert answer.status_code == 400
    assert answer.json()["errors"][0]["detail"] == "Send the field `idempotency-key` once"


@pytest.mark.parametrize("key", ["short", "1" * 36, "12" * 18, '"0123456789"'])
def test_sign_up_needs_a_key_that_others_cannot_guess(caller: Caller, key: str) -> None:
    answer = sign_up(caller, key)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/Idempotency-Key"
    assert consent(caller, key).status_code == 201


def test_random_keys_are_accepted_for_sign_up(caller: Caller) -> None:
    for key in (str(uuid4()), uuid4().hex, uuid4().hex.upper(), "vX3kq0yPz1mTn8sWc5bLrA"):
        assert sign_up(caller, key).status_code == 201


def test_answer_is_given_for_a_day_and_no_longer(caller: Caller) -> None:
    first = refusal(caller, KEY)
    caller.service.clock.advance(hours=23.9)
    assert refusal(caller, KEY).content == first.content

    caller.service.clock.advance(hours=0.2)
    later = refusal(caller, KEY)

    assert later.status_code == 201
    assert later.content != first.content
    assert refusal(caller, KEY).content == later.content
    assert kept(caller) == 1


def test_maintenance_deletes_expired_answers(caller: Caller) -> None:
    service = caller.service
    refusal(caller, KEY)
    found = []
    for days in (0, 1, 1):
        service.clock.advance(days=days)
        run_maintenance(service.vault, settings=service.settings, now=service.clock())
        found.append(kept(caller))

    assert found == [1, 1, 0]


def test_answer_survives_a_restart(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        caller = Caller(service, *service.enrolled(face=1))
        old_notice = service.notice("template_renewal")
        repeated: dict[str, Send] = {**OPERATIONS, "consent": partial(consent, notice_sha256=old_notice)}
        del repeated["refusal"]
        first = {name: send(caller, KEY).content for name, send in repeated.items()}
    # With another target the start publishes other notices; the repeated request names the old one.
    with serving(root, pool, toy_card(), target_fmr=1e-2) as service:
        caller.service = service
        caller.ada.client = caller.door.client = service.client
        again = {name: send(caller, KEY).content for name, send in repeated.items()}

    assert again == first


# --- Refusals


def test_refused_request_is_decided_anew(caller: Caller) -> None:
    caller.ada("DELETE", f"/v1/me/consents/{caller.consent['consent_id']}")
    refused = enrolment(caller, KEY)
    caller.consent = caller.service.consent(caller.ada, caller.door)

    assert refused.status_code == 403
    assert kept(caller) == 0
    assert enrolment(caller, KEY).status_code == 201


def test_photo_without_a_face_is_not_kept(caller: Caller) -> None:
    data, files = {"subject_ref": caller.consent["subject_ref"]}, {"probe": toy_photo()}

    assert caller.door("POST", "/v1/verifications", data=data, files=files, headers=keyed(KEY)).status_code == 422
    assert kept(caller) == 0


# --- Two at once


@pytest.mark.parametrize("send", [enrolment, verification])
def test_repetition_during_the_first_request_waits(caller: Caller, send: Send) -> None:
    measuring, go_on = Event(), Event()

    def hold() -> None:
        measuring.set()
        assert go_on.wait(60)

    caller.service.pool.before = hold
    with ThreadPoolExecutor() as threads:
        first = threads.submit(send, caller, KEY)
        assert measuring.wait(60)
        early = send(caller, KEY)
        go_on.set()
        answer = first.result()

    assert early.status_code == 409
    assert early.json()["type"] == "urn:mien:problem:request-in-progress"
    assert int(early.headers["retry-after"]) >= 1
    assert answer.is_success
    assert send(caller, KEY).content == answer.content


@every_operation
def test_many_equal_requests_at_once_have_one_effect(caller: Caller, send: Send) -> None:
    before = {name: len(table) for name, table in everything(caller.service.vault).items()}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: send(caller, KEY), range(8)))
    after = {name: len(table) for name, table in everything(caller.service.vault).items()}
    contents = {answer.content for answer in answers if answer.is_success}

    assert len(contents) == 1
    assert {answer.status_code for answer in answers if not answer.is_success} <= {409}
    assert after["mien.kept_answers"] == before["mien.kept_answers"] + 1
    assert after["mien.subjects"] - before["mien.subjects"] == (send is sign_up)
    assert after["mien.consent_events"] - before["mien.consent_events"] == (send in {consent, refusal})
    assert after["mien.comparisons"] - before["mien.comparisons"] == (send is verification)


# --- One count


def test_repeated_verification_is_one_comparison_and_one_failure(caller: Caller) -> None:
    first = verification(caller, KEY, face=2)
    for _ in range(20):
        assert verification(caller, KEY, face=2).content == first.content

    assert first.json()["decision"] == "no_match"
    assert len(caller.ada("GET", "/v1/me/comparisons").json()["items"]) == 1
    assert verification(caller, OTHER_KEY).status_code == 200


def test_repeated_sign_up_is_not_counted(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), sign_ups_per_minute=2) as service:
        caller = Caller(service, *service.enrolled(face=1))
        answers = [sign_up(caller, KEY) for _ in range(5)]

        assert len({answer.content for answer in answers}) == 1
        assert sign_up(caller, None).status_code == 429


# --- Ends


def test_decision_is_not_given_after_a_withdrawal(caller: Caller) -> None:
    verification(caller, KEY)
    unknown = caller.door.verify("A" * 24, toy_photo(1))
    caller.ada("DELETE", f"/v1/me/consents/{caller.consent['consent_id']}").raise_for_status()
    answer = verification(caller, KEY)

    assert (answer.status_code, answer.content) == (404, unknown.content)
    assert kept(caller) == 0


def test_decision_is_not_given_during_a_restriction(caller: Caller) -> None:
    first = verification(caller, KEY)
    unknown = caller.door.verify("A" * 24, toy_photo(1))
    caller.ada("PUT", "/v1/me/restriction").raise_for_status()
    stopped = verification(caller, KEY)
    caller.ada("DELETE", "/v1/me/restriction").raise_for_status()

    assert (stopped.status_code, stopped.content) == (404, unknown.content)
    assert verification(caller, KEY).content == first.content


def test_decision_is_not_given_after_the_consent_expired(caller: Caller) -> None:
    verification(caller, KEY)
    with caller.service.vault.data.write() as session:
        session.connection().exec_driver_sql("UPDATE grants SET valid_until = '2020-01-01 00:00:00.000000'")

    assert verification(caller, KEY).status_code == 404


def test_late_repetition_does_not_give_a_withdrawn_consent_again(caller: Caller) -> None:
    first, standing = consent(caller, KEY), consent(caller, OTHER_KEY)
    caller.ada("DELETE", f"/v1/me/consents/{first.json()['consent_id']}").raise_for_status()
    late, late_standing = consent(caller, KEY), consent(caller, OTHER_KEY)

    assert (first.status_code, standing.status_code) == (201, 200)
    assert (late.status_code, late.content) == (201, first.content)
    assert (late_standing.status_code, late_standing.content) == (200, standing.content)
    in_force = caller.ada("GET", "/v1/me/consents").json()["in_force"]
    assert [grant["purpose"] for grant in in_force] == ["verification"]


def test_late_repetition_enrols_no_one_again(caller: Caller) -> None:
    first = enrolment(caller, KEY)
    caller.ada("DELETE", f"/v1/me/enrolments/{first.json()['enrolment_id']}").raise_for_status()
    assert enrolment(caller, KEY).content == first.content
    assert caller.ada("GET", "/v1/me/enrolments").json()["items"] == []

    caller.ada("DELETE", f"/v1/me/consents/{caller.consent['consent_id']}").raise_for_status()
    assert enrolment(caller, KEY).status_code == 403
    assert kept(caller) == 0


def test_erasure_takes_the_kept_answers_with_it(caller: Caller) -> None:
    first = sign_up(caller, KEY)
    caller.ada.token = first.json()["access_token"]
    refusal(caller, KEY)
    stored = [value for row in rows(in_file(caller.service.vault.data).path, KEPT) for value in row]
    erased = caller.ada("DELETE", "/v1/me").json()
    left = [path for path, content in caller.service.files() if any(value in content for value in stored)]
    again = sign_up(caller, KEY)

    assert erased["status"] == "completed"
    assert len(stored) == 4
    assert left == []
    assert again.status_code == 201
    assert again.json()["subject_id"] != first.json()["subject_id"]


def test_answer_is_not_given_while_the_subject_is_being_erased(caller: Caller) -> None:
    first = sign_up(caller, KEY).json()
    with caller.service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE subjects SET erasing = 1 WHERE id = ?", (UUID(first["subject_id"]).hex,)
        )
    answer = sign_up(caller, KEY)

    assert first["access_token"] not in answer.text


# --- Storage


@every_operation
def test_only_the_holder_of_the_key_can_open_the_answer(caller: Caller, send: Send) -> None:
    service = caller.service
    answer = send(caller, KEY)
    with service.vault.data.read() as session:
        row = session.query(KeptAnswer).one()
    own = service.vault.register.key(Owner.subject(row.subject_id))
    record = own.open(row.sealed, sealing_context(KeptAnswer.sealed, row.id)).decode()

    for name, value in answer.json().items():
        if name not in {"decision", "purpose", "valid_until"} and isinstance(value, str):
            assert value not in record, name
    assert KEY.encode() not in b"".join(content for _, content in service.files())


def test_digest_of_a_request_depends_on_its_key_and_on_the_borders_of_its_parts() -> None:
    first = RequestKey(KEY, operation="verification", caller="a")
    digests = {
        first.digest([b"ref", b"photo"]),
        first.digest([b"refp", b"hoto"]),
        RequestKey(OTHER_KEY, operation="verification", caller="a").digest([b"ref", b"photo"]),
        RequestKey(KEY, operation="verification", caller="b").digest([b"ref", b"photo"]),
        RequestKey(KEY, operation="enrolment", caller="a").digest([b"ref", b"photo"]),
    }

    assert len(digests) == 5


def test_access_names_the_kept_answers(caller: Caller) -> None:
    refusal(caller, KEY)
    (row,) = document(caller.ada)["data"]["kept_answers"]

    assert row["content"]["operation"] == "consent"
    assert "lookup" not in row


def test_repeats_without_effect_do_not_fill_the_disk(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a row, and a person can give the consent that stands already as often as they like."""
    monkeypatch.setattr("app.vault.kept_answers.MAX_KEPT_ANSWERS", 3)
    first = consent(caller, KEY)
    answers = [consent(caller, str(uuid4())) for _ in range(6)]
    kept = len(rows(in_file(caller.service.vault.data).path, KEPT))
    again, without_key, ended = consent(caller, KEY), consent(caller, None), refusal(caller, str(uuid4()))

    assert (first.status_code, {one.status_code for one in answers}) == (201, {200, 429})
    assert kept == 3
    assert answers[-1].json()["type"].endswith(":too-many-attempts")
    assert [one.status_code for one in (again, without_key, ended)] == [201, 200, 201]
