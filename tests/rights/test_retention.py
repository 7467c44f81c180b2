"""Each retention rule holds: its data is there for the stated time, and gone after the next maintenance run."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.callbacks.registration import set_callback
from app.jobs.deliver_callbacks import delivery_worker
from app.jobs.maintenance import run_maintenance
from app.rights import record_expiry, retention
from app.settings import Settings
from app.templates import engine_history
from app.transparency.log.entries import append_open_entry
from app.web.callers import token_digest
from tests.architecture.source import ROOT
from tests.rights.complete_person import document
from tests.support.byte_scan import rows
from tests.support.service_fixture import RunningService, SharedPool, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.pending_leaves import pending_acts

OTHERS: dict[str, Any] = {
    "consent_days": 20,
    "consent_max_days": 40,
    "proof_retention": timedelta(days=30),
    "token_unused_days": 50,
    "erasure_retention": timedelta(days=60),
    "access_count_days": 70,
    "callback_days": 4,
    "superseded_template_days": 15,
}
"""Settings that are not the defaults."""
IsThere = Callable[[], bool]


def count_rows(service: RunningService, table: str, where: str = "1") -> int:
    ((found,),) = rows(in_file(service.vault.data).path, f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608 - names of our own
    return int(found)


def consents(service: RunningService) -> IsThere:
    _, party, consent = service.enrolled(face=1)
    answers = {200: True, 404: False}

    def there() -> bool:
        answered = answers[party.verify(consent["subject_ref"], toy_photo(1)).status_code]
        assert bool(count_rows(service, "grants")) == bool(count_rows(service, "templates")) == answered
        return answered

    return there


def tokens(service: RunningService) -> IsThere:
    person = service.person()
    token = person("POST", "/v1/me/tokens").json()["access_token"]
    with service.vault.data.write() as session:
        # The other token stays in use.
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = '9999-01-01' WHERE digest = ?", (token_digest(person.token),)
        )
    headers = {"Authorization": f"Bearer {token}"}

    def there() -> bool:
        found = count_rows(service, "tokens", "kind = 'access'") == 2
        assert found or service.client.get("/v1/me", headers=headers).status_code == 401
        return found

    return there


def access_counts(service: RunningService) -> IsThere:
    service.person()("GET", "/v1/me/access").raise_for_status()
    return lambda: bool(count_rows(service, "access_counts"))


def proofs(service: RunningService) -> IsThere:
    person = service.person()
    consent = service.consent(person, service.party())
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()
    return lambda: service.client.get(f"/v1/consent-proofs/{consent['consent_id']}").status_code == 200


def erasures(service: RunningService) -> IsThere:
    erasure_id = service.person()("DELETE", "/v1/me").json()["erasure_id"]
    return lambda: service.client.get(f"/v1/erasures/{erasure_id}").status_code == 200


def messages(service: RunningService) -> IsThere:
    """A message to a relying party that never answers: no program listens at the discard port."""
    party = service.party("Silent")
    set_callback(service.vault, party_id=UUID(party.id), to="http://127.0.0.1:9/", private=True, now=service.clock())
    service.consent(service.person(), party)
    return lambda: count_rows(service, "outbox") == 1


def superseded_templates(service: RunningService) -> IsThere:
    """Templates of a superseded engine; the running service keeps using it, which does not matter here."""
    service.enrolled(face=1)
    engine_history.put_in_force(
        service.vault, other_toy_card(), days=service.settings.superseded_template_days, now=service.clock()
    )
    return lambda: bool(count_rows(service, "templates"))


MAKERS: dict[str, Callable[[RunningService], IsThere]] = {
    "messages": messages,
    "consents": consents,
    "superseded_templates": superseded_templates,
    "tokens": tokens,
    "access_counts": access_counts,
    "proofs": proofs,
    "erasures": erasures,
}
"""For each rule with a time: makes its data, and returns a function that reports whether the data is there."""


@pytest.fixture(params=[{}, OTHERS], ids=["defaults", "others"])
def configured_service(request: pytest.FixtureRequest, root: Any, pool: SharedPool) -> Iterator[RunningService]:
    with serving(root, pool, toy_card(), sweep_interval_s=1e6, callback_private=True, **request.param) as running:
        # At noon, so that moving the clock by a number of days changes the date by the same number.
        running.clock.moved -= timedelta(hours=running.clock().hour - 12)
        yield running


def timed(settings: Settings) -> dict[str, int]:
    return {rule.rule: rule.days for rule in retention.policy(settings) if rule.days is not None}


def run_all_maintenance(service: RunningService) -> None:
    run_maintenance(service.vault, settings=service.settings, now=service.clock())
    delivery_worker(service.settings, service.vault, clock=service.clock).run_once(within_s=10)


@pytest.mark.parametrize("rule", MAKERS)
def test_a_run_the_day_before_keeps_the_data_and_the_day_after_deletes_it(
    configured_service: RunningService, rule: str
) -> None:
    there = MAKERS[rule](configured_service)
    days = timed(configured_service.settings)[rule]
    found = [there()]
    for step in (days - 1, 2):
        configured_service.clock.advance(days=step)
        run_all_maintenance(configured_service)
        found.append(there())

    assert found == [True, True, False]


def test_every_rule_with_a_time_is_tested() -> None:
    assert set(timed(Settings())) == set(MAKERS)
    assert len({rule.rule for rule in retention.policy(Settings())}) == len(retention.policy(Settings()))


@pytest.mark.parametrize("settings", [Settings(), Settings(**OTHERS), Settings(proof_retention=timedelta())])
def test_a_rule_states_its_time_in_words(settings: Settings) -> None:
    for rule in retention.policy(settings):
        assert rule.days is None or f"{rule.days} days" in rule.how_long
        assert all((rule.what, rule.why, rule.how_long, rule.by))


def test_times_in_the_policy_are_settings() -> None:
    """With other settings no default is left in the text."""
    other = " ".join(f"{rule.what} {rule.how_long}" for rule in retention.policy(Settings(**OTHERS)))

    for setting in (Settings().consent_days, Settings().consent_max_days, *timed(Settings()).values()):
        assert f"{setting} days" not in other


def test_policy_access_document_and_notice_say_the_same(configured_service: RunningService) -> None:
    published = configured_service.client.get("/v1/retention-policy", params={"limit": 200}).json()["items"]
    notice = configured_service.client.get(f"/v1/notices/{configured_service.notice('verification')}").text
    days = f"{configured_service.settings.consent_days} days"

    assert document(configured_service.person())["retention"] == published
    assert days in notice
    assert any(days in rule["how_long"] for rule in published)


def test_the_page_has_every_rule_of_the_policy() -> None:
    rows_of_the_page = re.findall(
        r"^\| (`.+?) \|", (ROOT / "docs" / "reference" / "retention.md").read_text(), re.MULTILINE
    )

    assert {name for row in rows_of_the_page for name in re.findall(r"`(\w+)`", row)} == {
        one.rule for one in retention.policy(Settings())
    }


def test_no_list_of_decisions_is_kept_for_relying_parties(service: RunningService) -> None:
    rules = {one["rule"]: one for one in service.client.get("/v1/retention-policy").json()["items"]}

    assert rules["decisions_of_relying_parties"]["how_long"] == "none is kept for it"
    assert rules["decisions_of_relying_parties"]["days"] is None


def test_a_second_maintenance_run_finds_nothing(configured_service: RunningService) -> None:
    for prepare in (access_counts, proofs, erasures):
        prepare(configured_service)
    configured_service.clock.advance(days=4000)
    first = run_maintenance(
        configured_service.vault, settings=configured_service.settings, now=configured_service.clock()
    )
    before = pending_acts(configured_service.vault)
    second = run_maintenance(
        configured_service.vault, settings=configured_service.settings, now=configured_service.clock()
    )

    assert (first.access_counts_deleted, first.proofs_deleted, first.erasures_forgotten) == (1, 1, 1)
    assert not any((second.purged, second.expired, second.tokens_ended, second.access_counts_deleted))
    # Fewer, if a batch of the log fell in between.
    assert pending_acts(configured_service.vault).items() <= before.items(), "no entry was added"


def test_rows_are_deleted_page_by_page_and_an_interrupted_run_continues(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_expiry, "PAGE", 2)
    person = service.person()
    for _ in range(5):
        person("GET", "/v1/me/access")
        service.clock.advance(days=1)
    service.clock.advance(days=500)
    calls: list[Any] = []

    def fail_at_the_second(*given: Any, **more: Any) -> None:
        calls.append(more)
        if len(calls) == 2:
            raise OperationalError("", None, OSError("disk I/O error"))
        append_open_entry(*given, **more)

    with monkeypatch.context() as failing:
        failing.setattr(record_expiry, "append_open_entry", fail_at_the_second)
        with pytest.raises(OperationalError):
            run_maintenance(service.vault, settings=service.settings, now=service.clock())
    left = count_rows(service, "access_counts")
    run_maintenance(service.vault, settings=service.settings, now=service.clock())

    assert left == 3, "rows without an entry are not deleted"
    assert count_rows(service, "access_counts") == 0
    assert list(pending_acts(service.vault).values()).count("retention_run") == 3


def test_an_erasure_in_progress_is_not_deleted(service: RunningService) -> None:
    erasure_id = service.person()("DELETE", "/v1/me").json()["erasure_id"]
    for change in (
        "step = 'deleted', completed_on = NULL",
        "step = 'completed', completed_on = '2020-01-01', rebuilt = 0",
    ):
        with service.vault.data.write() as session:
            session.connection().exec_driver_sql(f"UPDATE erasures SET {change}")  # noqa: S608 - columns of our own
        record_expiry.delete_old_erasures(
            service.vault, retention=service.settings.erasure_retention, now=service.clock()
        )

        assert service.client.get(f"/v1/erasures/{erasure_id}").status_code == 200


def test_an_erasure_states_how_long_it_can_be_seen(service: RunningService) -> None:
    kept = {one["what"]: one for one in service.person()("DELETE", "/v1/me").json()["kept"]}

    assert "1095 days (3 years)" in kept["this erasure"]["why"]
