"""The text that a person consents to is true, or it is not in force: a changed fact makes a notice stale."""

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from structlog.testing import capture_logs

from app.compliance import notice_words, shipped_notices
from app.consent import notice_template, notices
from app.consent.notice_template import NoticeError
from app.faces.cards.card import load_card, parse_card
from app.faces.cards.operating_point import find_operating_point
from app.faces.permit import Purpose
from tests.compliance.complete_service import WHO, WITHIN_FLOORS, live
from tests.compliance.test_live import door, reasons
from tests.consent.drafts import draft, facts_of, publish
from tests.consent.spies import change_row
from tests.support.service_fixture import Person, RunningService, SharedPool, serving
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo

LIVE: dict[str, Any] = {"profile": "live", **WHO}
OWN_NAME = b"The Canteen"
CHANGES: dict[str, dict[str, Any]] = {
    "the threshold": {"target_fmr": 1e-4},
    "the group of the target": {"target_group": "all", "target_fmr": 1e-2},
    "the days of a consent": {"consent_days": 90},
    "the longest choice": {"consent_max_days": 400},
    "the time of a proof": {"proof_retention": "0"},
    "the days of a reminder": {"renewal_days": 3},
    "the time of an erasure record": {"erasure_retention": "30"},
    "the days of a message": {"callback_days": 3},
    "the controller": LIVE,
}


def template(purpose: str = "verification") -> bytes:
    """Return a shipped notice with its placeholders."""
    return (shipped_notices.DIRECTORY / f"{purpose}.en.md").read_bytes()


def own(*, version: int = 9, words: str = "Our own words.") -> bytes:
    """Return a notice of another controller, without any placeholder."""
    text = notice_template.fill(draft(version=version, words=words), facts_of(), version=1).body
    return text.replace(b"Demonstration controller (prototype)", OWN_NAME)


def decide(service: RunningService, person: Person, party_id: str, notice: str, decision: str = "given") -> Any:
    """Send a decision on verification."""
    body = {"purpose": "verification", "relying_party_id": party_id, "notice_sha256": notice, "decision": decision}
    return person("POST", "/v1/me/consents", json=body)


@pytest.fixture
def stale(root: Path, pool: SharedPool) -> Any:
    """A person with a consent on a notice of another controller, whose engine has another threshold now."""
    with serving(root, pool, toy_card()) as service:
        publish(service.vault, own(), now=service.clock())
        person, party, consent = service.enrolled()
    with serving(root, pool, toy_card(), target_fmr=1e-4) as service:
        person.client = party.client = service.client
        yield service, person, party, consent


# --- The words


@pytest.mark.parametrize("engine", ["face_recognition", "sface"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_a_notice_names_the_engine_in_force_and_its_rates(engine: str, purpose: Purpose) -> None:
    card = load_card(engine)
    text = shipped_notices.render(shipped_notices.DIRECTORY / f"{purpose}.en.md", facts_of(card)).decode()
    in_force, other = find_operating_point(card), {"face_recognition": "sface", "sface": "face_recognition"}[engine]

    assert f"`{engine}`" in text
    assert other not in text
    assert f"about {notice_words.rate(in_force.point.fmr)} comparisons" in " ".join(text.lower().split())
    assert f"about {notice_words.rate(in_force.point.fnmr)} comparisons" in " ".join(text.lower().split())
    if purpose is not Purpose.TEMPLATE_RENEWAL:
        assert in_force.by_origin is not None
        assert f"The limit in use is {in_force.threshold:g}." in " ".join(text.split())
        assert f"The limit there was {in_force.by_origin.threshold:g}" in " ".join(text.split())
        assert re.search(r"\| Asian women \| [0-9,]+ in [0-9,]+ \|", text)


def test_a_notice_says_whom_the_misses_are_about() -> None:
    dlib, sface = load_card("face_recognition"), load_card("sface")
    pairs_only = notice_words.mistakes_in_short(dlib, find_operating_point(dlib))
    both = notice_words.mistakes_in_short(sface, find_operating_point(sface))
    elsewhere = notice_words.mistakes_in_short(sface, find_operating_point(sface, 1e-3))

    assert "One single person makes up 58 in 100 of those comparisons." in pairs_only
    assert "We have no count in which each person counts once." in pairs_only
    assert "If each person counts once, a second run of the test found 44 in 1,000." in both
    assert "It was 7 in 100 for women and 33 in 1,000 for men." in both
    assert "found 44 in 1,000 at a limit of 0.54." in elsewhere


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.000476, "5 in 10,000"),
        (0.09955, "10 in 100"),
        (0.18, "18 in 100"),
        (0.0012, "12 in 10,000"),
        (0.0025, "25 in 10,000"),
        (2.8e-05, "3 in 100,000"),
        (1.4e-05, "14 in 1,000,000"),
        (0.01139, "11 in 1,000"),
        (0.5, "50 in 100"),
        (0.999, "100 in 100"),
        (0.0, "none"),
    ],
)
def test_a_rate_is_a_count(value: float, words: str) -> None:
    assert notice_words.rate(value) == words


def test_a_card_without_groups_says_that_they_are_unknown() -> None:
    document = toy_card().as_document()
    document["calibration"]["fmr_by_origin"] = None
    by_sex = notice_words.mistakes(toy_card(), find_operating_point(parse_card(document)))
    for row in document["calibration"]["table"]:
        row["fmr_by_group"] = row["fnmr_by_group"] = {}
    unknown = notice_words.mistakes(toy_card(), find_operating_point(parse_card(document)))

    assert "| two women |" in by_sex
    assert "at the same limit" in by_sex
    assert "we do not know" in unknown


@pytest.mark.parametrize("name", ['Ex "quoted" \\ Ltd', "$consent_days & Co", "A `b` | *c* <d>", "+++", "Ünï 会社"])
def test_each_name_of_a_controller_can_be_filled_in(name: str) -> None:
    filled = notice_template.fill(template(), facts_of(**{**LIVE, "controller_name": name}), version=4)

    assert notice_template.controllers(notice_template.front_matter(filled.body)) == [name]


# --- What cannot be published


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"It ends after $consent_day.", "there is no placeholder \\$consent_day; there are .*\\$consent_days"),
        (b"It costs 5 $ a day.", "line .* has a \\$"),
        (b"It ends after ${ }.", "has a \\$"),
        (b"We are {{ company }}.", "gap to fill: {{ company }}"),
        (b"Ask [YOUR CONTACT] for it.", "gap to fill"),
        (b"TODO: say why.", "gap to fill: TODO"),
        (b"It ends after %consent_days%.", "gap to fill: %consent_days%"),
        (b"We are __COMPANY__.", "gap to fill: __COMPANY__"),
        (b"Pay $$consent_days to us.", "one dollar sign before consent_days"),
        (b"Pay $${consent_days} to us.", "one dollar sign before consent_days"),
        (b"The program is called `sface`.", "names the engine sface, which is not in force"),
    ],
)
@pytest.mark.parametrize("settings", [{}, LIVE], ids=["prototype", "live"])
def test_a_text_that_is_not_ready_is_refused(text: bytes, reason: str, settings: dict[str, Any]) -> None:
    with pytest.raises(NoticeError, match=reason):
        notice_template.fill(template() + text, facts_of(**settings), version=4)


@pytest.mark.parametrize(
    "text",
    [
        b"This service is a prototype with a **demonstration controller**.",
        b"It belongs to a demonstration\ncontroller.",
        b"Write to none@example.invalid.",
        "Ceci est une démonstration.".encode(),
        b"Das ist ein Prototyp.",
        b"A demo controller, for test only.",
    ],
)
def test_a_text_of_a_demonstration_is_refused_in_live_only(text: bytes) -> None:
    with pytest.raises(NoticeError, match="demonstration"):
        notice_template.fill(template() + text, facts_of(**LIVE), version=4)

    assert notice_template.fill(template() + text, facts_of(), version=4)


@pytest.mark.parametrize("setting", WHO)
def test_a_notice_needs_each_setting_of_the_controller_that_it_states(setting: str) -> None:
    with pytest.raises(NoticeError, match=f"MIEN_{setting.upper()}"):
        notice_template.fill(template(), facts_of(**{**LIVE, setting: None}), version=4)


def test_a_notice_in_live_names_the_controller_of_the_settings() -> None:
    other = template().replace(b"$controller_name", b"Another Ltd")

    with pytest.raises(NoticeError, match="Example Canteen Ltd"):
        notice_template.fill(other, facts_of(**LIVE), version=4)


def test_a_dollar_sign_is_written_twice() -> None:
    assert (
        b"It costs 5 $ a day." in notice_template.fill(template() + b"It costs 5 $$ a day.", facts_of(), version=4).body
    )


# --- A stale notice


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    "text", [template(), template().replace(b"$mistakes", b"It errs."), own()], ids=["all", "some", "none"]
)
def test_each_changed_fact_makes_a_notice_stale(change: str, text: bytes) -> None:
    recorded = notice_template.fill(text, facts_of(), version=4).facts

    assert facts_of().changes_since(recorded) == []
    assert facts_of(**CHANGES[change]).changes_since(recorded)


def test_another_engine_makes_every_notice_stale() -> None:
    for purpose in Purpose:
        recorded = notice_template.fill(template(purpose), facts_of(), version=4).facts

        assert "engine" in facts_of(other_toy_card()).changes_since(recorded)


def test_a_fact_that_a_notice_does_not_state_leaves_it_in_force() -> None:
    recorded = notice_template.fill(template("template_renewal"), facts_of(), version=4).facts

    assert facts_of(callback_days=3).changes_since(recorded) == []


def test_new_consents_wait_for_the_next_version(stale: Any) -> None:
    service, person, party, consent = stale
    listed = [one["purpose"] for one in service.client.get("/v1/notices").json()["items"]]
    refused = decide(service, service.person(), party.id, consent["notice_sha256"])
    renewed = person(
        "POST", f"/v1/me/consents/{consent['consent_id']}/renewal", json={"notice_sha256": consent["notice_sha256"]}
    )
    warnings = service.client.get("/readyz").json()["warnings"]
    next_version = publish(service.vault, own(version=10), now=service.clock(), facts=service.facts)
    given = decide(service, service.person(), party.id, next_version)

    assert listed == ["identification", "template_renewal"], "the shipped ones were published anew"
    for answer in (refused, renewed):
        assert answer.status_code == 409
        assert answer.json()["type"] == "urn:mien:problem:notice-changed"
        assert "wait until its next version" in answer.json()["detail"]
    assert [one for one in warnings if "verification (en, version 9) is stale" in one and "mien notice draft" in one]
    assert given.status_code == 201
    assert not [one for one in service.client.get("/readyz").json()["warnings"] if "stale" in one]


def test_consents_in_force_and_rights_do_not_wait(stale: Any) -> None:
    service, person, party, consent = stale
    matched = party.verify(consent["subject_ref"], toy_photo(1)).json()
    other = service.person()
    answers = [
        decide(service, other, party.id, consent["notice_sha256"], "refused"),
        person("GET", "/v1/me/access"),
        person("GET", "/v1/me/export"),
        person("GET", f"/v1/notices/{consent['notice_sha256']}"),
        person("DELETE", f"/v1/me/consents/{consent['consent_id']}"),
        person("DELETE", "/v1/me"),
    ]

    assert matched["decision"] == "match"
    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 200, 200]


def test_the_start_names_each_stale_notice(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        publish(service.vault, own(), now=service.clock())
    with capture_logs() as lines, serving(root, pool, toy_card(), consent_days=90):
        pass
    warned = [one for one in lines if one["event"].startswith("a notice is stale")]

    assert [(one["purpose"], "consent_days" in one["changed"]) for one in warned] == [("verification", True)]


def test_in_live_a_stale_notice_of_a_purpose_in_use_closes_the_service(root: Path, pool: SharedPool) -> None:
    with live(root, pool) as service:
        person, party, consent = service.enrolled(party=door(service))
        assert reasons(service) == []
    with live(root, pool, consent_days=90) as service:
        before = service.notice("verification")
    settings = {**LIVE, **WITHIN_FLOORS, "kek_file": root / "apart" / "kek", "consent_days": 91}
    with serving(root, pool, toy_card(), **settings) as service:
        person.client = service.client
        found = reasons(service)
        refused = decide(service, person, party.id, before)
        withdrawn = person("DELETE", f"/v1/me/consents/{consent['consent_id']}")

    assert {re.search(r"notice (\w+)", one)[1] for one in found} == {"verification", "template_renewal"}  # type: ignore[index]
    assert all("stale, because these facts changed: consent_days" in one for one in found)
    assert refused.json()["type"] == "urn:mien:problem:not-ready"
    assert withdrawn.status_code == 200


# --- A retired notice


def test_a_retired_notice_takes_no_new_consents_and_leaves_the_old_ones(service: RunningService) -> None:
    person, party, consent = service.enrolled()
    with service.vault.data.write() as session:
        retired = notices.retire(session, Purpose.VERIFICATION, now=service.clock())
        again = notices.retire(session, Purpose.VERIFICATION, now=service.clock())
    listed = {one["purpose"] for one in service.client.get("/v1/notices").json()["items"]}
    body = {"notice_sha256": consent["notice_sha256"]}
    answers = [
        decide(service, service.person(), party.id, consent["notice_sha256"]),
        person("POST", f"/v1/me/consents/{consent['consent_id']}/renewal", json=body),
        party.verify(consent["subject_ref"], toy_photo(1)),
        person("DELETE", f"/v1/me/consents/{consent['consent_id']}"),
    ]
    next_version = publish(service.vault, draft(version=9), now=service.clock())

    assert [one.sha256 for one in retired] == [consent["notice_sha256"]]
    assert again == []
    assert "verification" not in listed
    assert [answer.status_code for answer in answers] == [409, 409, 200, 200]
    assert decide(service, service.person(), party.id, next_version).status_code == 201


def test_a_retired_notice_stays_retired_at_the_next_start(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service, service.vault.data.write() as session:
        notices.retire(session, Purpose.IDENTIFICATION, now=service.clock())
    with serving(root, pool, toy_card(), consent_days=90) as service:
        listed = {one["purpose"] for one in service.client.get("/v1/notices").json()["items"]}

    assert listed == {"verification", "template_renewal"}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE retired_notices SET retired_at = '2020-01-01'",
        "DELETE FROM retired_notices",
        (
            "INSERT INTO notices (sha256, purpose, language, version, published_at, body, template)"
            " SELECT hex(randomblob(32)), purpose, language, 99, published_at, body, template FROM notices LIMIT 1"
        ),
        (
            "INSERT INTO grants SELECT lower(hex(randomblob(16))), subject_id, purpose, relying_party_id, 'ref',"
            " notice_sha256, valid_until, NULL, NULL FROM grants LIMIT 1"
        ),
    ],
)
def test_sql_cannot_undo_a_retirement_or_publish_without_facts(service: RunningService, statement: str) -> None:
    service.enrolled()
    with service.vault.data.write() as session:
        notices.retire(session, Purpose.VERIFICATION, now=service.clock())

    with pytest.raises(IntegrityError, match=r"never changed|retired notice takes no|records the facts"):
        change_row(service.vault, statement)


# --- The shipped notices in live


def test_publish_shipped_names_the_controller_or_refuses(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        with service.vault.data.write() as session, pytest.raises(NoticeError, match="MIEN_AUTHORITY"):
            shipped_notices.publish_shipped(session, facts_of(**{**LIVE, "authority": None}), now=service.clock())
        with service.vault.data.write() as session:
            shipped_notices.publish_shipped(session, facts_of(**LIVE), now=service.clock())
            (text,) = [
                one.notice.body.decode()
                for one in notices.list_statuses(session, facts_of(**LIVE))
                if one.notice.purpose is Purpose.VERIFICATION
            ]

    assert f"**{WHO['controller_name']}** is responsible" in text
    assert "demonstration" not in text.lower()
    assert "prototype" not in text.lower()


def test_publish_shipped_asks_before_it_replaces_notices_of_the_controller(service: RunningService) -> None:
    publish(service.vault, own(), now=service.clock())
    with service.vault.data.write() as session, pytest.raises(NoticeError, match=r"verification \(en\).*--replace"):
        shipped_notices.publish_shipped(session, service.facts, now=service.clock())
    with service.vault.data.write() as session:
        found = shipped_notices.publish_shipped(session, service.facts, now=service.clock(), replace=True)

    assert {str(one.head.purpose): one.new for one in found}["verification"]


def test_a_live_service_without_its_settings_starts_without_notices(tmp_path: Path, pool: SharedPool) -> None:
    with capture_logs() as lines, serving(tmp_path, pool, toy_card(), profile="live") as service:
        listed = service.client.get("/v1/notices").json()["items"]

    assert listed == []
    assert [one["reason"] for one in lines if one["event"] == "no notice is published yet"]
