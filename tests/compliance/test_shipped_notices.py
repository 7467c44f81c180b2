"""The shipped notices state the times of the settings; other settings give other texts. All are easy to read."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.compliance import shipped_notices
from app.consent import notice_template
from app.consent.facts import Facts
from app.faces.cards.card import load_card
from app.kit.days import in_words
from app.rights import retention
from app.settings import Settings
from tests.compliance import reading_level
from tests.compliance.complete_service import WHO
from tests.consent.drafts import draft, facts_of, publish, shipped
from tests.support.changed_schema import without_trigger
from tests.support.launcher import run_here
from tests.support.service_fixture import RunningService, SharedPool, prepare, serving, settings_for
from tests.support.toy_engine import toy_card

OTHER: dict[str, Any] = {"consent_days": 90, "consent_max_days": 180}
NEXT = shipped_notices.VERSION + 1
MAX_GRADE = 5.0
"""Flesch-Kincaid grade; 8 is the end of lower secondary school."""
MAX_SENTENCE_WORDS = 22


def stale_warnings(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["event"].startswith("a notice is stale")]


def published(service: RunningService, facts: Facts) -> dict[str, tuple[int, bool]]:
    with service.vault.data.write() as session:
        done = shipped_notices.publish_shipped(session, facts, now=service.clock())
    return {str(one.head.purpose): (one.head.version, one.new) for one in done}


@pytest.mark.parametrize("file", shipped_notices.files(), ids=lambda file: file.name)
def test_every_time_in_a_notice_comes_from_the_settings(file: Path) -> None:
    plain, other = (shipped_notices.render(file, facts) for facts in (facts_of(), facts_of(**OTHER)))
    period = notice_template.front_matter(other)["retention_period"]

    assert notice_template.parse(plain).version == shipped_notices.VERSION
    assert notice_template.front_matter(plain)["retention_period"] in plain.decode()
    assert period == retention.notice_words(Settings(**OTHER))["retention_period"]
    assert "90 days" in period
    assert "180 days" in period
    assert "365" not in other.decode()
    assert "$" not in plain.decode() + other.decode()


@pytest.mark.parametrize("file", shipped_notices.files(), ids=lambda file: file.name)
@pytest.mark.parametrize("engine", ["face_recognition", "sface"])
@pytest.mark.parametrize("settings", [{}, {"profile": "live", **WHO}], ids=["prototype", "live"])
def test_a_notice_is_easy_to_read(file: Path, engine: str, settings: dict[str, Any]) -> None:
    notice = shipped_notices.render(file, facts_of(load_card(engine), **settings)).decode()

    assert reading_level.grade(notice) <= MAX_GRADE
    assert max(map(len, reading_level.sentences(notice))) <= MAX_SENTENCE_WORDS


def test_the_reading_level_rises_with_longer_words_and_sentences() -> None:
    easy = "+++\n+++\nYou can say no. We ask you once."
    hard = "+++\n+++\nNotwithstanding anticipatory considerations, participants retain unconditional withdrawal."

    assert reading_level.grade(easy) < 2
    assert reading_level.grade(hard) > 20


@pytest.mark.parametrize("none", [{"proof_retention": "0"}, {"renewal_days": 0}])
def test_a_notice_promises_no_proof_or_renewal_that_the_settings_turn_off(none: dict[str, Any]) -> None:
    text = shipped_notices.render(shipped_notices.files()[-1], facts_of(**none)).decode()

    assert ("no proof stays" in text) == ("proof_retention" in none)
    assert ("In its last" in text) == ("renewal_days" not in none)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (1, "1 day"),
        (365, "365 days"),
        (730, "730 days (2 years)"),
        (1095, "1095 days (3 years)"),
        (1096, "1096 days (3 years)"),
        (1000, "1000 days"),
    ],
)
def test_days_in_words(days: int, words: str) -> None:
    assert in_words(days) == words


def test_a_new_service_with_other_settings_publishes_other_texts(tmp_path: Path, pool: SharedPool) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    prepare(plain)
    made = run_here(other, "migrate", MIEN_CONSENT_DAYS="90", MIEN_CONSENT_MAX_DAYS="180")
    assert made.exit_code == 0, made.stderr
    found = []
    for root, more in ((plain, {}), (other, OTHER)):
        with capture_logs() as lines, serving(root, pool, toy_card(), **more) as service:
            digest = service.notice("verification")
            found.append((digest, service.client.get(f"/v1/notices/{digest}").text, stale_warnings(lines)))

    assert found[0][0] != found[1][0]
    assert found[0][0] == hashlib.sha256(shipped("verification")).hexdigest()
    assert "90 days" in found[1][1]
    assert [one[2] for one in found] == [[], []]


def test_a_prototype_publishes_the_shipped_notices_anew_when_a_setting_changed(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        before = service.notice("verification")
    with capture_logs() as lines, serving(root, pool, toy_card(), **OTHER) as service:
        after = service.notice("verification")
        again = published(service, service.facts)

    assert {(one["purpose"], one["version"]) for one in lines if "people are asked anew" in one["event"]} == {
        ("verification", NEXT),
        ("identification", NEXT),
        ("template_renewal", NEXT),
    }
    assert stale_warnings(lines) == []
    assert set(again.values()) == {(NEXT, False)}
    assert before != after


def test_a_shipped_text_takes_the_place_of_the_demonstrations(service: RunningService) -> None:
    publish(service.vault, draft(version=9), now=service.clock())

    assert published(service, service.facts)["verification"] == (10, True)


@pytest.mark.service
def test_the_command_prints_version_and_change_of_each_notice(tmp_path: Path) -> None:
    root = tmp_path / "service"
    prepare(root, load_card("face_recognition"))
    first = run_here(root, "notice", "publish-shipped", "--json")
    changed = run_here(root, "notice", "publish-shipped", "--json", MIEN_CONSENT_DAYS="90")
    people = run_here(root, "notice", "publish-shipped", MIEN_CONSENT_DAYS="90")

    assert [one["new"] for one in json.loads(first.stdout)["notices"]] == [False] * 3
    assert [(one["version"], one["new"]) for one in json.loads(changed.stdout)["notices"]] == [(NEXT, True)] * 3
    assert people.stdout.splitlines()[-1] == f"verification.en  version {NEXT}  unchanged"


def test_a_notice_of_release_0_1_0_gets_a_newer_version(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        with without_trigger(service.vault.data, "notices_never_delete"), service.vault.data.write() as session:
            session.connection().exec_driver_sql("DELETE FROM notices")
        publish(service.vault, draft(version=1), now=service.clock())
        found = published(service, service.facts)

    assert found == dict.fromkeys(
        ("verification", "identification", "template_renewal"), (shipped_notices.VERSION, True)
    )
    assert settings_for(root).consent_days == 365
