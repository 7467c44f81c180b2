"""Law 1: no permit, no pixels. A spy at the pipe to the engine workers says what reached them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from app.faces.permit import Permit, Purpose
from tests.consent.spies import change_row, count, watch_pipe
from tests.support.service_fixture import House, Party, Person, SharedPool, enrol
from tests.support.toy_faces import _photo, toy_photo


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every image that went to a worker."""
    return watch_pipe(monkeypatch)


@dataclass
class Attempt:
    """An enrolment that nothing permits."""

    person: Person
    consent_ids: list[str]
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 403


def for_an_hour(mien: House) -> dict[str, str]:
    """Return the choice of an end in one hour."""
    return {"valid_until": (mien.clock() + timedelta(hours=1)).isoformat()}


def refused(mien: House, person: Person, party: Party | None, purpose: str = "verification") -> dict[str, Any]:
    """Let *person* refuse."""
    return mien.consent(person, party, purpose, decision="refused")


def restrict(mien: House, person: Person) -> None:
    """Stop all matching of *person*."""
    change_row(mien.vault, "UPDATE subjects SET spell_id = NULL WHERE id = :id", id=UUID(person.subject_id).hex)


def no_consent_named(mien: House) -> Attempt:
    return Attempt(mien.person(), [], status=422)


def unknown_consent(mien: House) -> Attempt:
    return Attempt(mien.person(), [str(uuid4())])


def another_persons(mien: House) -> Attempt:
    party = mien.party()
    return Attempt(mien.person(), [mien.consent(mien.person(), party)["consent_id"]])


def expired(mien: House) -> Attempt:
    person = mien.person()
    consent = mien.consent(person, mien.party(), **for_an_hour(mien))
    mien.clock.advance(hours=2)
    return Attempt(person, [consent["consent_id"]])


def expired_by_default(mien: House) -> Attempt:
    person = mien.person()
    consent = mien.consent(person, mien.party())
    mien.clock.advance(days=366)
    return Attempt(person, [consent["consent_id"]])


def withdrawn(mien: House) -> Attempt:
    person = mien.person()
    consent = mien.consent(person, mien.party())
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    return Attempt(person, [consent["consent_id"]])


def never_given_but_refused(mien: House) -> Attempt:
    person = mien.person()
    return Attempt(person, [refused(mien, person, mien.party())["consent_id"]])


def given_then_refused(mien: House) -> Attempt:
    person, party = mien.person(), mien.party()
    consent = mien.consent(person, party)
    refused(mien, person, party)
    return Attempt(person, [consent["consent_id"]])


def for_keeping_photos_only(mien: House) -> Attempt:
    person = mien.person()
    return Attempt(person, [mien.consent(person, None, "template_renewal")["consent_id"]])


def one_of_two_not_in_force(mien: House) -> Attempt:
    person = mien.person()
    consents = [mien.consent(person, mien.party(name))["consent_id"] for name in ("Door", "Gate")]
    person("DELETE", f"/v1/me/consents/{consents[1]}")
    return Attempt(person, consents)


def one_of_two_for_keeping_photos(mien: House) -> Attempt:
    person = mien.person()
    good = mien.consent(person, mien.party())["consent_id"]
    return Attempt(person, [good, mien.consent(person, None, "template_renewal")["consent_id"]])


def keeping_without_consent(mien: House) -> Attempt:
    person = mien.person()
    return Attempt(person, [mien.consent(person, mien.party())["consent_id"]], {"keep_photos": "true"})


def keeping_with_another_persons_consent(mien: House) -> Attempt:
    mien.consent(mien.person(), None, "template_renewal")
    return keeping_without_consent(mien)


def keeping_after_refusal(mien: House) -> Attempt:
    attempt = keeping_without_consent(mien)
    mien.consent(attempt.person, None, "template_renewal")
    refused(mien, attempt.person, None, "template_renewal")
    return attempt


def keeping_after_withdrawal(mien: House) -> Attempt:
    attempt = keeping_without_consent(mien)
    renewal = mien.consent(attempt.person, None, "template_renewal")
    attempt.person("DELETE", f"/v1/me/consents/{renewal['consent_id']}")
    return attempt


def keeping_after_expiry(mien: House) -> Attempt:
    attempt = keeping_without_consent(mien)
    mien.consent(attempt.person, None, "template_renewal", **for_an_hour(mien))
    mien.clock.advance(hours=2)
    return attempt


def restricted(mien: House) -> Attempt:
    person = mien.person()
    consent = mien.consent(person, mien.party())
    restrict(mien, person)
    return Attempt(person, [consent["consent_id"]], status=0)


NOT_PERMITTED: list[Callable[[House], Attempt]] = [
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
    mien: House, pipe: list[bytes], attempt: Callable[[House], Attempt]
) -> None:
    tried = attempt(mien)

    answer = enrol(tried.person, tried.consent_ids, [toy_photo(1)], **tried.more)

    assert pipe == []
    assert answer.status_code in ({tried.status} if tried.status else {403, 423}), answer.text
    assert count(mien.vault, "templates") == count(mien.vault, "photos") == 0


@pytest.mark.parametrize("keep", [False, True])
def test_with_a_permit_every_photo_reaches_a_worker(mien: House, pipe: list[bytes], *, keep: bool) -> None:
    person = mien.person()
    consent = mien.consent(person, mien.party())
    mien.consent(person, None, "template_renewal")
    photos = [toy_photo(1), toy_photo(1, variant=1)]

    answer = enrol(person, [consent["consent_id"]], photos, keep_photos=str(keep).lower())

    assert answer.status_code == 201, answer.text
    assert [raw.endswith(photo) for raw, photo in zip(pipe, photos, strict=True)] == [True, True]


Claim = tuple[Party, str]


def unknown_reference(mien: House) -> Claim:
    return mien.enrolled()[1], "nobody"


def reference_of_another_party(mien: House) -> Claim:
    _, _, consent = mien.enrolled()
    return mien.party("Gate"), consent["subject_ref"]


def not_enrolled(mien: House) -> Claim:
    party = mien.party()
    return party, mien.consent(mien.person(), party)["subject_ref"]


def withdrawn_claim(mien: House) -> Claim:
    person, party, consent = mien.enrolled()
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    return party, consent["subject_ref"]


def refused_claim(mien: House) -> Claim:
    person, party, consent = mien.enrolled()
    refused(mien, person, party)
    return party, consent["subject_ref"]


def expired_claim(mien: House) -> Claim:
    person, party = mien.person(), mien.party()
    consent = mien.consent(person, party, **for_an_hour(mien))
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    mien.clock.advance(hours=2)
    return party, consent["subject_ref"]


def identification_only(mien: House) -> Claim:
    person, party = mien.person(), mien.party("Door", Purpose.VERIFICATION, Purpose.IDENTIFICATION)
    consent = mien.consent(person, party, "identification")
    assert enrol(person, [consent["consent_id"]], [toy_photo(1)]).status_code == 201
    return party, consent["subject_ref"]


def restricted_claim(mien: House) -> Claim:
    person, party, consent = mien.enrolled()
    restrict(mien, person)
    return party, consent["subject_ref"]


def erased_claim(mien: House) -> Claim:
    person, party, consent = mien.enrolled()
    person("DELETE", "/v1/me")
    return party, consent["subject_ref"]


NO_CLAIM: list[Callable[[House], Claim]] = [
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
    mien: House, pipe: list[bytes], claim: Callable[[House], Claim]
) -> None:
    party, reference = claim(mien)
    pipe.clear()

    answer = party.verify(reference, toy_photo(1))

    assert pipe == []
    assert (answer.status_code, answer.json()["type"]) == (404, "urn:mien:problem:no-such-consent")
    assert count(mien.vault, "comparisons") == 0


def test_with_the_claimed_persons_grant_the_probe_reaches_a_worker(mien: House, pipe: list[bytes]) -> None:
    _, party, consent = mien.enrolled()
    pipe.clear()
    probe = toy_photo(1, variant=5)

    answer = party.verify(consent["subject_ref"], probe)

    assert answer.json()["decision"] == "match"
    assert [raw.endswith(probe) for raw in pipe] == [True]


def test_two_faces_are_refused_before_either_is_embedded(mien: House) -> None:
    person, party, consent = mien.enrolled()
    # The toy engine ends its worker when it embeds pure green: an embedding would answer 503.
    pair = _photo([(0, 255, 0), (250, 60, 60)], (320, 240), "PNG")

    enrolled = enrol(person, [consent["consent_id"]], [toy_photo(1), pair])
    probed = party.verify(consent["subject_ref"], pair)

    assert (enrolled.status_code, enrolled.json()["type"]) == (422, "urn:mien:problem:several-faces")
    assert [(one["index"], one["slug"]) for one in enrolled.json()["photos"]] == [(1, "several-faces")]
    assert (probed.status_code, probed.json()["type"]) == (422, "urn:mien:problem:several-faces")
    assert count(mien.vault, "comparisons") == 0


@pytest.mark.parametrize(
    "no_permit", [None, object(), "permit", SimpleNamespace(grant_ids=(uuid4(),), keeps_photos=False)]
)
def test_the_pool_measures_nothing_without_a_permit(pool: SharedPool, pipe: list[bytes], no_permit: object) -> None:
    with pytest.raises(TypeError, match="no permit, no pixels"):
        pool.measure(cast("Permit", no_permit), [toy_photo(1)])

    assert pipe == []
    assert len(pool.measure(Permit(grant_ids=(uuid4(),)), [toy_photo(1)])) == len(pipe) == 1
