"""A token or key that ends during a request, and other edges of requests."""

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.parties import service as parties
from tests.consent.spies import count
from tests.support.service_fixture import RunningService, enrol
from tests.support.toy_faces import toy_photo


def test_an_enrolment_whose_token_ends_while_the_engine_works_is_refused(service: RunningService) -> None:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    (mine,) = person("GET", "/v1/me/tokens").json()["items"]
    service.pool.after = lambda: person("DELETE", f"/v1/me/tokens/{mine['token_id']}")

    answer = enrol(person, [consent["consent_id"]], [toy_photo(1)])

    assert answer.status_code == 401
    assert count(service.vault, "templates") == 0


def test_no_decision_for_a_party_that_is_revoked_while_the_engine_works(service: RunningService) -> None:
    _, party, consent = service.enrolled(face=1)
    service.pool.after = lambda: parties.revoke(service.vault, party_id=UUID(party.id), now=service.clock())

    answer = party.verify(consent["subject_ref"], toy_photo(1))

    assert answer.status_code == 404
    assert count(service.vault, "comparisons") == 0


def test_an_ended_token_cannot_make_another(service: RunningService) -> None:
    thief = service.person()
    (stolen,) = thief("GET", "/v1/me/tokens").json()["items"]
    recovered = service.client.post("/v1/recoveries", json={"recovery_code": thief.recovery_code})

    assert recovered.status_code == 201
    assert thief("POST", "/v1/me/tokens").status_code == 401
    assert count(service.vault, "tokens") == 2, stolen["token_id"]


def test_half_a_character_in_a_reference_is_an_unknown_reference(service: RunningService) -> None:
    party = service.party()
    body = (
        b'--B\r\nContent-Disposition: form-data; name="subject_ref"\r\n\r\n+2AA-\r\n'
        b'--B\r\nContent-Disposition: form-data; name="probe"; filename="a"\r\n\r\nx\r\n--B--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=B; charset=utf-7", "Authorization": f"Bearer {party.key}"}

    answer = service.client.post("/v1/verifications", content=body, headers=headers)

    assert (answer.status_code, answer.json()) == (404, party.verify("unknown", b"x").json())


def test_the_answer_to_a_body_of_many_faults_is_short(service: RunningService) -> None:
    fields = ",".join(f'"f{number}":0' for number in range(20_000))

    answer = service.client.post(
        "/v1/subjects", content="{" + fields + "}", headers={"Content-Type": "application/json"}
    )
    larger = service.client.post("/v1/subjects", content=b"[" * 300_000, headers={"Content-Type": "application/json"})

    assert (answer.status_code, len(answer.json()["errors"])) == (422, 50)
    assert larger.status_code == 413


def test_the_end_of_a_consent_is_shown_in_utc(service: RunningService) -> None:
    person, party = service.person(), service.party()
    ends = (service.clock() + timedelta(days=3)).replace(microsecond=0).isoformat().replace("+00:00", "+05:30")

    given = service.consent(person, party, valid_until=ends)

    assert given["valid_until"].endswith("Z")
    assert datetime.fromisoformat(given["valid_until"]) == datetime.fromisoformat(ends)


def test_kept_photos_without_a_template_are_deleted_with_the_next_enrolment(service: RunningService) -> None:
    person, party = service.person(), service.party()
    service.consent(person, None, "template_renewal")
    for _ in range(3):
        consent_id = service.consent(person, party)["consent_id"]
        assert enrol(person, [consent_id], [toy_photo(1)] * 2, keep_photos="true").status_code == 201
        left = count(service.vault, "photos")
        person("DELETE", f"/v1/me/consents/{consent_id}")

    assert left == 2


@pytest.mark.service
def test_an_argument_that_is_no_text_is_refused_with_a_reason(tmp_path: Path) -> None:
    command: list[str | bytes] = [
        sys.executable,
        "-m",
        "app",
        "relying-party",
        "add",
        b"x\xff",
        "--contact",
        "c",
        "--purpose",
    ]
    done = subprocess.run(
        [*command, "verification", "--alternative", "a"],
        env={"MIEN_DATA_DIR": f"{tmp_path}/data"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
