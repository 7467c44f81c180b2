"""The live profile: each requirement in turn, and the service while one is missing."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from app.compliance.live_requirements import service as requirements
from app.compliance.notice_facts import DEMONSTRATION_PARTY
from app.consent import notices
from app.consent.notice_template import controllers, front_matter
from app.faces.cards.card import load_card, parse_card
from app.faces.cards.operating_point import choose_operating_point
from app.faces.permit import Purpose
from app.main import ROUTERS
from app.parties import service as parties
from app.settings import DEMONSTRATION, UNNAMED, Settings
from tests.compliance.complete_service import DESCRIPTION, NAME, WHO, kek_apart, live, publish_in_name
from tests.consent.drafts import NEXT_VERSION, facts_of, shipped
from tests.support.launcher import run_here
from tests.support.service_fixture import Party, RunningService, SharedPool, enrol, serving, settings_for
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.test_roles import routes

PROCESSING = {
    ("POST", "/v1/subjects"),
    ("POST", "/v1/me/consents"),
    ("POST", "/v1/me/consents/{consent_id}/renewal"),
    ("POST", "/v1/me/enrolments"),
    ("POST", "/v1/verifications"),
}
"""Routes that stay closed while a requirement is missing: all routes that take or compare faces."""
ALWAYS = {
    ("POST", "/v1/recoveries"),
    ("POST", "/v1/me/tokens"),
    ("POST", "/v1/receipts/verify"),
}
"""The other POST routes: recovery, and proof."""


LIVE: dict[str, Any] = {"profile": "live", **WHO}
"""The settings that notices state."""


def door(service: RunningService, purposes: Sequence[Purpose] = (Purpose.VERIFICATION,), **description: str) -> Party:
    """Add a relying party with a complete description."""
    with service.vault.data.write() as session:
        party, key = parties.add(
            session,
            name="Door",
            contact="door@example.org",
            purposes=purposes,
            alternative="a key card",
            now=service.clock(),
            **{**DESCRIPTION, **description},
        )
    return Party(service.client, str(party.relying_party_id), key)


def reasons(service: RunningService) -> list[str]:
    """Return the reasons that `/readyz` gives."""
    service.pool.wait_full()
    answer = service.client.get("/readyz")
    ready = answer.json()
    assert (answer.status_code == 200) is (ready["reasons"] == [])
    assert (ready["profile"], ready["controller"]) == ("live", service.settings.controller)
    found: list[str] = ready["reasons"]
    return found


def test_a_complete_service_is_ready_and_serves(root: Path, pool: SharedPool) -> None:
    with live(root, pool) as service:
        party = door(service)
        assert reasons(service) == []
        person, _, consent = service.enrolled(party=party)
        decision = party.verify(consent["subject_ref"], toy_photo(1)).json()["decision"]
        receipt = person("GET", "/v1/me/receipts").json()["items"][0]["receipt"]["jws"]
        seen = person("GET", "/v1/me/access").json()

    assert decision == "match"
    assert seen["controller"] == NAME
    assert receipt


def _undescribed(service: RunningService) -> None:
    service.party("Gate")


def _stale(service: RunningService) -> None:
    door(service)
    publish_in_name(service, facts_of(**{**LIVE, "consent_days": 90}))


def _none_published(service: RunningService) -> None:
    door(service, purposes=[Purpose.IDENTIFICATION])
    with service.vault.data.write() as session:
        notices.retire(session, Purpose.IDENTIFICATION, now=service.clock())


LACKING: dict[str, tuple[dict[str, Any], Callable[[RunningService], None], str]] = {
    **{
        name: ({name: None}, lambda _service: None, f"MIEN_{name.upper()}") for name in WHO if name != "controller_name"
    },
    "a relying party's words": ({}, _undescribed, "relying party Gate: lacks its context and its legal basis"),
    "a true notice for verification": (
        {},
        _stale,
        f"notice verification (en, version {NEXT_VERSION + 1}): names Example Canteen Ltd as ",
    ),
    "a notice that is not retired": ({}, _none_published, "notice identification: a relying party asks for this"),
}


@pytest.mark.parametrize("what", LACKING)
def test_a_missing_requirement_is_named_with_the_next_step(root: Path, pool: SharedPool, what: str) -> None:
    more, without, text = LACKING[what]
    with live(root, pool, **more) as service:
        without(service)
        found = reasons(service)

    # Without a setting of the controller no notice could be published; that is the second reason.
    found = [one for one in found if "notice template_renewal" not in one]
    assert len(found) == 1, found
    assert text in found[0]


def test_without_a_name_there_is_no_controller_and_no_notice_names_it(root: Path, pool: SharedPool) -> None:
    with live(root, pool, controller_name=None) as service:
        door(service)
        found = " ".join(reasons(service))

    assert "MIEN_CONTROLLER_NAME" in found
    assert "notice verification" in found
    assert service.settings.controller == UNNAMED


def test_keys_have_to_be_apart(root: Path) -> None:
    beside = Settings(data_dir=root / "data", keys_dir=root / "data" / "keys", kek_file=root / "data" / "kek")
    in_register = Settings(data_dir=root / "data", keys_dir=root / "keys")
    linked = root / "link"
    linked.symlink_to(root / "data")
    apart = Settings(data_dir=root / "data", keys_dir=root / "keys", kek_file=root / "apart" / "kek")
    given = Settings(data_dir=root / "data", keys_dir=root / "keys", kek="x")
    through = Settings(data_dir=root / "data", keys_dir=root / "keys", kek_file=linked / "kek")

    assert (beside.keys_apart, beside.kek_apart) == (False, False)
    assert (in_register.keys_apart, in_register.kek_apart) == (True, False)
    assert (through.keys_apart, through.kek_apart) == (True, False)
    assert [one.kek_apart for one in (apart, given)] == [True, True]


def test_an_engine_that_misses_the_target_in_a_group_is_not_accepted(root: Path, service: RunningService) -> None:
    settings = settings_for(root, profile="live", **WHO)
    on_average = settings.model_copy(update={"target_group": "all"})
    facts = service.facts
    real = requirements.check(
        service.vault, settings=on_average, card=load_card("face_recognition"), facts=facts, sandbox=()
    )
    toy = requirements.check(service.vault, settings=settings, card=toy_card(), facts=facts, sandbox=())
    (found,) = [one for one in real.requirements if one.name == "error rates"]

    assert not found.met
    point = choose_operating_point(load_card("face_recognition"), on_average).point
    above = {group for group, rate in point.fmr_by_group.items() if rate > 1e-3}
    assert above
    assert all(f"{group} " in found.found for group in above)
    assert "Asian-F 0.18" in " ".join(real.warnings)
    assert [one.met for one in toy.requirements if one.name == "error rates"] == [True]


@pytest.mark.parametrize(("engine", "times"), [("face_recognition", 180), ("sface", 33)])
def test_an_engine_that_keeps_the_target_in_every_labelled_group_is_accepted_with_a_clear_warning(
    root: Path, service: RunningService, engine: str, times: int
) -> None:
    settings = settings_for(root, profile="live", engine=engine, **WHO)
    found = requirements.check(
        service.vault, settings=settings, card=load_card(engine), facts=service.facts, sandbox=()
    )

    assert [one.met for one in found.requirements if one.name == "error rates"] == [True]
    assert f"IS MISSED, by up to {times} times" in found.warnings[0]


def test_a_card_without_labelled_groups_is_not_accepted(root: Path, service: RunningService) -> None:
    document = load_card("sface").as_document()
    for row in document["calibration"]["table"]:
        row["fmr_by_group"] = row["fnmr_by_group"] = {}
    settings = settings_for(root, profile="live", **WHO)
    found = requirements.check(
        service.vault, settings=settings, card=parse_card(document), facts=service.facts, sandbox=()
    )

    assert [one.met for one in found.requirements if one.name == "error rates"] == [False]


def test_consents_to_the_demonstration_do_not_count_for_the_controller(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), kek_file=kek_apart(root)) as service:
        service.enrolled(party=door(service))
        publish_in_name(service, facts_of(**LIVE))
    with live(root, pool) as service:
        found = reasons(service)

    assert len(found) == 1
    assert "empty directories" in found[0]


def test_the_shipped_notices_name_the_demonstration() -> None:
    for purpose in Purpose:
        assert controllers(front_matter(shipped(purpose))) == [DEMONSTRATION_PARTY]


def test_while_a_requirement_is_missing_no_face_is_used_and_rights_are_answered(root: Path, pool: SharedPool) -> None:
    with live(root, pool) as service:
        person, party, consent = service.enrolled(party=door(service))
        other = service.person()
    reached: list[bool] = []
    pool.before = lambda: reached.append(True)
    with live(root, pool, authority=None) as service:
        person.client = other.client = party.client = service.client
        consent_request = {
            "purpose": "verification",
            "relying_party_id": party.id,
            "notice_sha256": consent["notice_sha256"],
        }
        refused = [
            service.client.post("/v1/subjects", json={"declared_adult": True}),
            other("POST", "/v1/me/consents", json=consent_request),
            enrol(person, [consent["consent_id"]], [toy_photo(1)]),
            party.verify(consent["subject_ref"], toy_photo(1)),
            party.verify("unknown", toy_photo(1)),
        ]
        rights = [
            *(person("GET", f"/v1/me/{one}") for one in ("access", "export", "comparisons", "consents", "receipts")),
            person("PATCH", "/v1/me", json={"display_name": "Ada"}),
            person("PUT", "/v1/me/restriction"),
            person("DELETE", "/v1/me/restriction"),
            service.client.post("/v1/recoveries", json={"recovery_code": other.recovery_code}),
            person("DELETE", f"/v1/me/consents/{consent['consent_id']}"),
            person("DELETE", "/v1/me"),
        ]
        open_pages = [
            service.client.get(path) for path in ("/v1/notices", "/v1/engine", "/v1/relying-parties", "/livez")
        ]

    assert {(one.status_code, one.json()["type"]) for one in refused} == {(503, "urn:mien:problem:not-ready")}
    assert refused[3].content == refused[4].content
    assert reached == []
    assert {one.status_code for one in [*rights, *open_pages]} <= {200, 201}


def test_a_refusal_is_accepted_because_it_ends_a_consent(root: Path, pool: SharedPool) -> None:
    with live(root, pool) as service:
        person, party, consent = service.enrolled(party=door(service))
    with live(root, pool, authority=None) as service:
        person.client = service.client
        refusal = {
            "purpose": "verification",
            "relying_party_id": party.id,
            "notice_sha256": consent["notice_sha256"],
            "decision": "refused",
        }
        refused = person("POST", "/v1/me/consents", json=refusal)
        left = person("GET", "/v1/me/consents").json()["in_force"]

    assert (refused.status_code, left) == (201, [])


def test_a_completed_description_opens_the_service_without_a_restart(
    root: Path, pool: SharedPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.web.live_gate.CACHE_S", 0.0)
    with live(root, pool) as service:
        gate = service.party("Gate")
        before = service.client.post("/v1/subjects", json={"declared_adult": True})
        parties.update_party(
            service.vault, party_id=UUID(gate.id), changes=parties.PartyChanges(**DESCRIPTION), now=service.clock()
        )
        after = service.client.post("/v1/subjects", json={"declared_adult": True})

    assert (before.status_code, after.status_code) == (503, 201)


def test_every_post_route_is_behind_the_gate_or_listed_as_open(service: RunningService) -> None:
    posts = {("POST", route.path) for route in routes(service) if route.method == "POST"}

    assert posts == PROCESSING | ALWAYS, "add a new route to one of the two lists"
    assert ROUTERS


def test_in_prototype_the_demonstration_is_unmistakable(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    answers = [
        service.client.get("/livez"),
        service.client.get("/nowhere"),
        person("GET", "/v1/me"),
        party.verify(consent["subject_ref"], toy_photo(1)),
    ]
    named = service.client.get("/openapi.json").json()["info"]["description"]

    assert {one.headers["mien-controller"] for one in answers} == {DEMONSTRATION}
    assert DEMONSTRATION in named
    assert DEMONSTRATION in person("GET", "/v1/me/access").text


def test_a_controller_name_has_no_effect_in_prototype(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), **WHO) as service:
        ready = service.client.get("/readyz").json()
        seen = service.person()("GET", "/v1/me/access")

    assert (ready["controller"], ready["warnings"]) == (DEMONSTRATION, [])
    assert NAME not in seen.text


def test_no_answer_in_live_names_the_demonstration(root: Path, pool: SharedPool) -> None:
    with live(root, pool) as service:
        answers = [service.client.get(path) for path in ("/livez", "/openapi.json", "/readyz")]
        described = answers[1].json()["info"]["description"]

    assert all("mien-controller" not in one.headers for one in answers)
    assert DEMONSTRATION not in described + answers[2].text


@pytest.mark.parametrize("value", ["", "  ", "a\nb", "a\u202eb"])
def test_a_name_that_cannot_be_shown_stops_the_start(value: str) -> None:
    with pytest.raises(ValidationError):
        Settings(controller_name=value)


def test_the_command_prints_the_requirements_and_exits_with_the_result(root: Path) -> None:
    shown = run_here(root, "live-check")
    lacking = run_here(root, "live-check", "--json")
    found = json.loads(lacking.stdout)

    assert (shown.exit_code, lacking.exit_code) == (1, 1)
    assert "MISSING  controller name: not set" in shown.stdout
    assert "do:  write the name into MIEN_CONTROLLER_NAME" in shown.stdout
    assert not found["complete"]
    assert {"name", "met", "found", "why", "do"} == set(found["requirements"][0])
    assert all(one["why"] and one["do"] for one in found["requirements"])
    assert any("did not agree" in one for one in found["warnings"])
