"""Law 1: no permit, no pixels. A spy at the pipe to the engine workers records the images."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from PIL import Image

from app.faces.permit import Permit, Purpose
from tests.consent.spies import change_row, count, watch_pipe
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol
from tests.support.toy_faces import _photo, toy_photo


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every image that went to a worker."""
    return watch_pipe(monkeypatch)


@dataclass
class Attempt:
    """An enrolment without a permit."""

    person: Person
    consent_ids: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 403


def for_an_hour(service: RunningService) -> dict[str, str]:
    """Return the field for an end in one hour."""
    return {"valid_until": (service.clock() + timedelta(hours=1)).isoformat()}


def refused(
    service: RunningService, person: Person, party: Party | None, purpose: str = "verification"
) -> dict[str, Any]:
    """Let *person* refuse."""
    return service.consent(person, party, purpose, decision="refused")


def restrict(service: RunningService, person: Person) -> None:
    """Stop all matching of *person*."""
    change_row(service.vault, "UPDATE subjects SET spell_id = NULL WHERE id = :id", id=UUID(person.subject_id).hex)


def no_consent_named(service: RunningService) -> Attempt:
    return Attempt(service.person(), [], status=422)


def unknown_consent(service: RunningService) -> Attempt:
    return Attempt(service.person(), [str(uuid4())])


def another_persons(service: RunningService) -> Attempt:
    party = service.party()
    return Attempt(service.person(), [service.consent(service.person(), party)["consent_id"]])


def expired(service: RunningService) -> Attempt:
    person = service.person()
    consent = service.consent(person, service.party(), **for_an_hour(service))
    service.clock.advance(hours=2)
    return Attempt(person, [consent["consent_id"]])


def expired_by_default(service: RunningService) -> Attempt:
    person = service.person()
    consent = service.consent(person, service.party())
    service.clock.advance(days=366)
    return Attempt(person, [consent["consent_id"]])


def withdrawn(service: RunningService) -> Attempt:
    person = service.person()
    consent = service.consent(person, service.party())
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    return Attempt(person, [consent["consent_id"]])


def never_given_but_refused(service: RunningService) -> Attempt:
    person = service.person()
    return Attempt(person, [refused(service, person, service.party())["consent_id"]])


def given_then_refused(service: RunningService) -> Attempt:
    person, party = service.person(), service.party()
    consent = service.consent(person, party)
    refused(service, person, party)
    return Attempt(person, [consent["consent_id"]])


def for_keeping_photos_only(service: RunningService) -> Attempt:
    person = service.person()
    return Attempt(person, [service.consent(person, None, "template_renewal")["consent_id"]])


def one_of_two_not_in_force(service: RunningService) -> Attempt:
    person = service.person()
    consents = [service.consent(person, service.party(name))["consent_id"] for name in ("Door", "Gate")]
    person("DELETE", f"/v1/me/consents/{consents[1]}")
    return Attempt(person, consents)


def one_of_two_for_keeping_photos(service: RunningService) -> Attempt:
    person = service.person()
    good = service.consent(person, service.party())["consent_id"]
    return Attempt(person, [good, service.consent(person, None, "template_renewal")["consent_id"]])


def keeping_without_consent(service: RunningService) -> Attempt:
    person = service.person()
    return Attempt(person, [service.consent(person, service.party())["consent_id"]], {"keep_photos": "true"})


def keeping_with_another_persons_consent(service: RunningService) -> Attempt:
    service.consent(service.person(), None, "template_renewal")
    return keeping_without_consent(service)


def keeping_after_refusal(service: RunningService) -> Attempt:
    attempt = keeping_without_consent(service)
    service.consent(attempt.person, None, "template_renewal")
    refused(service, attempt.person, None, "template_renewal")
    return attempt


def keeping_after_withdrawal(service: RunningService) -> Attempt:
    attempt = keeping_without_consent(service)
    renewal = service.consent(attempt.person, None, "template_renewal")
    attempt.person("DELETE", f"/v1/me/consents/{renewal['consent_id']}")
    return attempt


def keeping_after_expiry(service: RunningService) -> Attempt:
    attempt = keeping_without_consent(service)
    service.consent(attempt.person, None, "template_renewal", **for_an_hour(service))
    service.clock.advance(hours=2)
    return attempt


def restricted(service: RunningService) -> Attempt:
    person = service.person()
    consent = service.consent(person, service.party())
    restrict(service, person)
    return Attempt(person, [consent["consent_id"]], status=0)


NOT_PERMITTED: list[Callable[[RunningService], Attempt]] = [
    no_consent_named,
    unknown_consent,
    another_persons,
    expired,
    expired_by_default,
    withdrawn,
    never_given_but_refused,
    given_then_refused,
    for_keeping_photos_only,
    one_of_two_not_in_force,
    one_of_two_for_keeping_photos,
    keeping_without_consent,
    keeping_with_another_persons_consent,
    keeping_after_refusal,
    keeping_after_withdrawal,
    keeping_after_expiry,
    restricted,
]


@pytest.mark.parametrize("attempt", NOT_PERMITTED, ids=lambda one: one.__name__)
def test_without_a_permit_no_photo_reaches_a_worker(
    service: RunningService, pipe: list[bytes], attempt: Callable[[RunningService], Attempt]
) -> None:
    tried = attempt(service)

    answer = enrol(tried.person, tried.consent_ids, [toy_photo(1)], **tried.more)

    assert pipe == []
    assert answer.status_code in ({tried.status} if tried.status else {403, 423}), answer.text
    assert count(service.vault, "templates") == count(service.vault, "photos") == 0


@pytest.mark.parametrize("keep", [False, True])
def test_with_a_permit_every_photo_reaches_a_worker(service: RunningService, pipe: list[bytes], *, keep: bool) -> None:
    person = service.person()
    consent = service.consent(person, service.party())
    service.consent(person, None, "template_renewal")
    photos = [toy_photo(1), toy_photo(1, variant=1)]

    answer = enrol(person, [consent["consent_id"]], photos, keep_photos=str(keep).lower())

    assert answer.status_code == 201, answer.text
    assert [raw.endswith(photo) for raw, photo in zip(pipe, photos, strict=True)] == [True, True]


Claim = tuple[Party, str]


def unknown_reference(service: RunningService) -> Claim:
    return service.enrolled()[1], "nobody"


def reference_of_another_party(service: RunningService) -> Claim:
    _, _, consent = service.enrolled()
    return service.party("Gate"), consent["subject_ref"]


def not_enrolled(service: RunningService) -> Claim:
    party = service.party()
    return party, service.consent(service.person(), party)["subject_ref"]


def withdrawn_claim(service: RunningService) -> Claim:
    person, party, consent = service.enrolled()
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    return party, consent["subject_ref"]


def refused_claim(service: RunningService) -> Claim:
    person, party, consent = service.enrolled()
    refused(service, person, party)
    return party, consent["subject_ref"]


def expired_claim(service: RunningService) -> Claim:
    person, party = service.person(), service.party()
    consent = service.consent(person, party, **for_an_hour(service))
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    service.clock.advance(hours=2)
    return party, consent["subject_ref"]


def identification_only(service: RunningService) -> Claim:
    person, party = service.person(), service.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION)
    consent = service.consent(person, party, "identification")
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    return party, consent["subject_ref"]


def restricted_claim(service: RunningService) -> Claim:
    person, party, consent = service.enrolled()
    restrict(service, person)
    return party, consent["subject_ref"]


def erased_claim(service: RunningService) -> Claim:
    person, party, consent = service.enrolled()
    person("DELETE", "/v1/me")
    return party, consent["subject_ref"]


NO_CLAIM: list[Callable[[RunningService], Claim]] = [
    unknown_reference,
    reference_of_another_party,
    not_enrolled,
    withdrawn_claim,
    refused_claim,
    expired_claim,
    identification_only,
    restricted_claim,
    erased_claim,
]


@pytest.mark.parametrize("claim", NO_CLAIM, ids=lambda one: one.__name__)
def test_without_the_claimed_persons_grant_no_probe_reaches_a_worker(
    service: RunningService, pipe: list[bytes], claim: Callable[[RunningService], Claim]
) -> None:
    party, reference = claim(service)
    pipe.clear()

    answer = party.verify(reference, toy_photo(1))

    assert pipe == []
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mien:problem:no-such-consent")
    assert count(service.vault, "comparisons") == 0


def test_with_the_claimed_persons_grant_the_probe_reaches_a_worker(service: RunningService, pipe: list[bytes]) -> None:
    _, party, consent = service.enrolled()
    pipe.clear()
    probe = toy_photo(1, variant=5)

    answer = party.verify(consent["subject_ref"], probe)

    assert answer.json()["decision"] == "match"
    assert [raw.endswith(probe) for raw in pipe] == [True]


def test_two_faces_are_refused_before_either_is_embedded(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    # The toy engine ends its worker when it embeds pure green: an embedding would answer 503.
    pair = _photo([(0, 255, 0), (250, 60, 60)], (320, 240), "PNG")

    enrolled = enrol(person, [consent["consent_id"]], [toy_photo(1), pair])
    probed = party.verify(consent["subject_ref"], pair)

    assert (enrolled.status_code, enrolled.json()["type"]) == (422, "urn:mien:problem:several-faces")
    assert [(one["index"], one["slug"]) for one in enrolled.json()["photos"]] == [(1, "several-faces")]
    assert (probed.status_code, probed.json()["type"]) == (422, "urn:mien:problem:several-faces")
    assert count(service.vault, "comparisons") == 0


def test_a_bystander_in_a_probe_is_found_and_never_embedded(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    # Pure green, 30 px wide: an embedding would end the worker.
    with Image.open(io.BytesIO(toy_photo(1))) as photo:
        photo.paste((0, 255, 0), (2, 0, 32, photo.height))
        out = io.BytesIO()
        photo.save(out, "PNG")

    probed = party.verify(consent["subject_ref"], out.getvalue())
    enrolled = enrol(person, [consent["consent_id"]], [out.getvalue()])

    assert (probed.status_code, probed.json().get("decision")) == (200, "match")
    assert (enrolled.status_code, enrolled.json()["type"]) == (422, "urn:mien:problem:several-faces")


@pytest.mark.parametrize(
    "no_permit", [None, object(), "permit", SimpleNamespace(grant_ids=(uuid4(),), keeps_photos=False)]
)
def test_the_pool_measures_nothing_without_a_permit(pool: SharedPool, pipe: list[bytes], no_permit: object) -> None:
    with pytest.raises(TypeError, match="no permit, no pixels"):
        pool.measure(cast("Permit", no_permit), [toy_photo(1)])

    assert pipe == []
    assert len(pool.measure(Permit(grant_ids=(uuid4(),)), [toy_photo(1)])) == len(pipe) == 1
