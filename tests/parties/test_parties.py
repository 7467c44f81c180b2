"""Relying parties: the operator adds them, everyone can list them, and their keys can end."""

from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest

from app.faces.permit import Purpose
from app.parties import service as parties
from app.parties.service import PartyError
from app.vault.tables import EndedKind
from tests.consent.spies import everything
from tests.support.register_queries import tombstones
from tests.support.service_fixture import Party, RunningService
from tests.support.toy_faces import toy_photo


def add(
    service: RunningService, name: str = "Door", *, contact: str = "c", alternative: str = "a key", **more: object
) -> Party:
    """Add a relying party, as the command does."""
    purposes = more.get("purposes", [Purpose.VERIFICATION])
    with service.vault.data.write() as session:
        view, key = parties.add(
            session,
            name=name,
            contact=contact,
            purposes=purposes,  # type: ignore[arg-type]
            alternative=alternative,
            context=more.get("context"),  # type: ignore[arg-type]
            now=service.clock(),
        )
    return Party(service.client, str(view.relying_party_id), key)


def test_the_public_list_shows_each_party_and_its_alternative(service: RunningService) -> None:
    door = add(service, contact="door@example.org", purposes=[Purpose.IDENTIFICATION, Purpose.VERIFICATION])

    (seen,) = service.client.get("/v1/relying-parties").json()["items"]

    assert seen == {
        "relying_party_id": door.id,
        "name": "Door",
        "contact": "door@example.org",
        "purposes": ["identification", "verification"],
        "alternative": "a key",
        "context": None,
        "legal_basis": None,
    }
    assert door("GET", "/v1/relying-party").json() == seen
    assert door.key not in service.client.get("/v1/relying-parties").text


def test_the_list_is_paged(service: RunningService) -> None:
    ids = {add(service, f"Door {n}").id for n in range(5)}

    pages: list[Any] = []
    after: dict[str, Any] = {}
    while not pages or pages[-1]["next"] is not None:
        pages.append(service.client.get("/v1/relying-parties", params={"limit": 2} | after).json())
        after = {"after": pages[-1]["next"]}

    listed = [item["relying_party_id"] for page in pages for item in page["items"]]
    assert [len(page["items"]) for page in pages] == [2, 2, 1]
    assert sorted(listed) == sorted(ids)


def test_two_parties_cannot_have_one_name(service: RunningService) -> None:
    add(service, "Door")
    before = everything(service.vault)

    with pytest.raises(PartyError, match="'Door' already"):
        add(service, "Door")

    assert everything(service.vault) == before
    assert add(service, "Gate")


@pytest.mark.parametrize("purposes", [[], [Purpose.TEMPLATE_RENEWAL], [Purpose.VERIFICATION, Purpose.TEMPLATE_RENEWAL]])
def test_a_party_has_only_purposes_of_relying_parties(service: RunningService, purposes: list[Purpose]) -> None:
    before = everything(service.vault)

    with pytest.raises(PartyError, match="purposes are verification and identification"):
        add(service, purposes=purposes)

    assert everything(service.vault) == before


@pytest.mark.parametrize("text", ["  ", "\u200b", "\u3164\u2800"], ids=ascii)
@pytest.mark.parametrize("blank", ["name", "contact", "alternative"])
def test_a_party_has_a_name_a_contact_and_an_alternative(service: RunningService, blank: str, text: str) -> None:
    fields = {"name": "Door", "contact": "c", "alternative": "a key"} | {blank: text}

    with pytest.raises(PartyError, match=blank):
        add(service, **fields)

    assert service.client.get("/v1/relying-parties").json()["items"] == []


@pytest.mark.parametrize(
    ("field", "longest"), [("name", 200), ("contact", 500), ("alternative", 2000), ("context", 2000)]
)
def test_a_text_is_no_longer_than_the_store_allows(service: RunningService, field: str, longest: int) -> None:
    fields = {"name": "Door", "contact": "c", "alternative": "a key"}

    with pytest.raises(PartyError, match=f"the {field} has {longest + 1} characters; shorten it to {longest}"):
        add(service, **fields | {field: "a" * (longest + 1)})

    assert add(service, **fields | {field: "a" * longest}).id


def test_after_a_rotation_only_the_new_key_works(service: RunningService) -> None:
    _, door, consent = service.enrolled()
    old = door.key

    _, door.key = parties.rotate_key(
        service.vault, party_id=UUID(door.id), settings=service.settings, now=service.clock()
    )

    assert door.verify(consent["subject_ref"], toy_photo(1)).json()["decision"] == "match"
    assert Party(service.client, door.id, old).verify(consent["subject_ref"], toy_photo(1)).status_code == 401
    assert len(tombstones(service.vault.register, EndedKind.RELYING_PARTY_KEY)) == 1


def test_a_revoked_party_is_refused_and_gets_no_new_consent(service: RunningService) -> None:
    person, door, consent = service.enrolled()
    gate = service.party("Gate")

    parties.revoke(service.vault, party_id=UUID(door.id), now=service.clock())

    assert door.verify(consent["subject_ref"], toy_photo(1)).status_code == 401
    assert [one["name"] for one in service.client.get("/v1/relying-parties").json()["items"]] == ["Gate"]
    body = {"purpose": "verification", "relying_party_id": door.id, "notice_sha256": service.notice("verification")}
    assert service.person()("POST", "/v1/me/consents", json=body).status_code == 422
    assert gate("GET", "/v1/relying-party").status_code == 200
    withdrawn = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn"), "a person can always withdraw"


def test_a_revoked_party_cannot_be_changed(service: RunningService) -> None:
    person, door, consent = service.enrolled()
    parties.revoke(service.vault, party_id=UUID(door.id), now=service.clock())

    for act in (partial(parties.rotate_key, settings=service.settings), parties.revoke):
        for party_id in (UUID(door.id), uuid4()):
            with pytest.raises(PartyError, match="revoked"):
                act(service.vault, party_id=party_id, now=service.clock())

    assert person("GET", "/v1/me/consents").json()["in_force"][0]["consent_id"] == consent["consent_id"]


@pytest.mark.parametrize("name", ["Door", "Door\u200b", " Door", "D\uff4f\uff4fr", "Door\u00a0"], ids=ascii)
def test_a_name_that_looks_like_another_is_refused(service: RunningService, name: str) -> None:
    add(service, "Door")

    with pytest.raises(PartyError, match="named"):
        add(service, name)
