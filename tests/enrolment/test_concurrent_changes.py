"""Changes while the engine works: an enrolment that did not finish stores nothing."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from app.kit.errors import BusyError
from tests.consent.spies import count_recorded_refusals, everything
from tests.support.service_fixture import Party, Person, RunningService, enrol
from tests.support.toy_faces import crashing_photo, toy_photo


def slug(answer: httpx.Response) -> tuple[int, str]:
    """Return the status and the slug of a problem."""
    return answer.status_code, answer.json()["type"].rpartition(":")[2]


def decision(party: Party, consent: dict[str, Any], face: int) -> str:
    """Return the decision that the relying party gets about a face."""
    return str(party.verify(consent["subject_ref"], toy_photo(face, variant=3)).json().get("decision"))


def withdraw(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}")


def refuse(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    body = {"relying_party_id": consent["relying_party_id"], "decision": "refused"}
    person("POST", "/v1/me/consents", json=body | {k: consent[k] for k in ("purpose", "notice_sha256")})


def renew_consent(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    withdraw(service, person, consent)
    body = {k: consent[k] for k in ("purpose", "notice_sha256", "relying_party_id")}
    assert person("POST", "/v1/me/consents", json=body).status_code == 201


def expire(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    service.clock.advance(days=400)


def erase(service: RunningService, person: Person, consent: dict[str, Any]) -> None:
    assert person("DELETE", "/v1/me").status_code == 200


@pytest.mark.parametrize("act", [withdraw, refuse, renew_consent, expire, erase], ids=lambda act: act.__name__)
@pytest.mark.parametrize("of", ["verification", "template_renewal"])
def test_a_consent_that_ends_while_the_engine_works_gets_no_template(
    service: RunningService, act: Callable[[RunningService, Person, dict[str, Any]], None], of: str
) -> None:
    person, party = service.person(), service.party()
    consents = {
        "verification": service.consent(person, party),
        "template_renewal": service.consent(person, None, "template_renewal"),
    }
    keys = dict[str, Any]()

    def end_consent() -> None:
        act(service, person, consents[of])
        keys.update(everything(service.vault))

    service.pool.after = end_consent

    answer = enrol(person, [consents["verification"]["consent_id"]], [toy_photo(1)], keep_photos="true")

    assert slug(answer) == (403, "consent-required")
    erased = act is erase
    assert count_recorded_refusals(keys, everything(service.vault)) == 1 - erased, (
        "only the refusal is stored, and no key remains"
    )
    assert keys["mien.templates"] == keys["mien.photos"] == []


def test_a_busy_engine_refuses_and_nothing_is_stored(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    before = everything(service.vault)

    def be_busy() -> None:
        raise BusyError

    service.pool.before = be_busy
    answers = [
        enrol(person, [consent["consent_id"]], [toy_photo(2)]),
        party.verify(consent["subject_ref"], toy_photo(1)),
    ]
    rights = person("GET", "/v1/me")
    service.pool.reset()

    for answer in answers:
        assert slug(answer) == (503, "busy")
        assert int(answer.headers["retry-after"]) > 0
    assert rights.status_code == 200
    assert everything(service.vault) == before
    assert decision(party, consent, 1) == "match"


def test_a_photo_that_kills_the_worker_stores_nothing(service: RunningService) -> None:
    person, party, consent = service.enrolled(face=1)
    before = everything(service.vault)

    answer = enrol(person, [consent["consent_id"]], [toy_photo(2), crashing_photo()])

    assert slug(answer) == (503, "busy")
    assert everything(service.vault) == before
    assert decision(party, consent, 1) == "match"


def test_no_transaction_is_open_while_the_engine_works(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    seen = []
    service.pool.before = lambda: seen.append(
        (service.vault.data.open_transactions(), service.vault.register.store.open_transactions())
    )

    enrol(person, [consent["consent_id"]], [toy_photo(1)])
    party.verify(consent["subject_ref"], toy_photo(1))

    assert seen == [(0, 0), (0, 0)]
