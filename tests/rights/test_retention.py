"""What is said to be kept is kept, and goes when it is said to go: each rule is held against what the sweep does."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.exc import OperationalError

from app.callbacks.registration import set_callback
from app.jobs.maintenance import run_maintenance
from app.jobs.scheduler import courier_of
from app.rights import record_expiry, retention
from app.settings import Settings
from app.templates import engine_history
from app.transparency.log.entries import append_open
from app.web.auth import token_digest
from tests.architecture.source import ROOT
from tests.rights.whole_person import document
from tests.support.byte_scan import rows
from tests.support.service_fixture import House, SharedPool, serving
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.pending_leaves import unjoined

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
There = Callable[[], bool]


def counted(house: House, table: str, where: str = "1") -> int:
    ((found,),) = rows(house.vault.data.path, f"SELECT count(*) FROM {table} WHERE {where}")  # noqa: S608 - names of our own
    return int(found)


def consents(house: House) -> There:
    _, party, consent = house.enrolled(face=1)
    answers = {200: True, 404: False}

    def there() -> bool:
        answered = answers[party.verify(consent["subject_ref"], toy_photo(1)).status_code]
        assert bool(counted(house, "grants")) == bool(counted(house, "templates")) == answered
        return answered

    return there


def tokens(house: House) -> There:
    person = house.person()
    token = person("POST", "/v1/me/tokens").json()["access_token"]
    with house.vault.data.write() as session:
        # She goes on using the other one.
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = '9999-01-01' WHERE digest = ?", (token_digest(person.token),)
        )
    headers = {"Authorization": f"Bearer {token}"}

    def there() -> bool:
        found = counted(house, "tokens", "kind = 'access'") == 2
        assert found or house.client.get("/v1/me", headers=headers).status_code == 401
        return found

    return there


def access_counts(house: House) -> There:
    house.person()("GET", "/v1/me/access").raise_for_status()
    return lambda: bool(counted(house, "access_counts"))


def proofs(house: House) -> There:
    person = house.person()
    consent = house.consent(person, house.party())
    person("DELETE", f"/v1/me/consents/{consent['consent_id']}").raise_for_status()
    return lambda: house.client.get(f"/v1/consent-proofs/{consent['consent_id']}").status_code == 200


def erasures(house: House) -> There:
    erasure_id = house.person()("DELETE", "/v1/me").json()["erasure_id"]
    return lambda: house.client.get(f"/v1/erasures/{erasure_id}").status_code == 200


def messages(house: House) -> There:
    """To a relying party that never answers: nobody listens at the discard port."""
    party = house.party("Silent")
    set_callback(house.vault, party_id=UUID(party.id), to="http://127.0.0.1:9/", private=True, now=house.clock())
    house.consent(house.person(), party)
    return lambda: counted(house, "outbox") == 1


def superseded_templates(house: House) -> There:
    """The service itself goes on with the older engine: nothing else is looked at here."""
    house.enrolled(face=1)
    engine_history.begin(house.vault, other_toy_card(), days=house.settings.superseded_template_days, now=house.clock())
    return lambda: bool(counted(house, "templates"))


KEPT: dict[str, Callable[[House], There]] = {
    "messages": messages,
    "consents": consents,
    "superseded_templates": superseded_templates,
    "tokens": tokens,
    "access_counts": access_counts,
    "proofs": proofs,
    "erasures": erasures,
}
"""How there comes to be what a rule is about, and how one sees that it is there."""


@pytest.fixture(params=[{}, OTHERS], ids=["defaults", "others"])
def house(request: pytest.FixtureRequest, root: Any, pool: SharedPool) -> Iterator[House]:
    with serving(root, pool, toy_card(), sweep_interval_s=1e6, callback_private=True, **request.param) as running:
        # In the middle of a day, whatever the day: a step of so many days changes the day by as many.
        running.clock.moved -= timedelta(hours=running.clock().hour - 12)
        yield running


def timed(settings: Settings) -> dict[str, int]:
    return {rule.rule: rule.days for rule in retention.policy(settings) if rule.days is not None}


def swept(house: House) -> None:
    run_maintenance(house.vault, settings=house.settings, now=house.clock())
    courier_of(house.settings, house.vault, clock=house.clock).once(within_s=10)


@pytest.mark.parametrize("rule", KEPT)
def test_a_sweep_the_day_before_leaves_it_and_the_day_after_takes_it(house: House, rule: str) -> None:
    there = KEPT[rule](house)
    days = timed(house.settings)[rule]
    found = [there()]
    for step in (days - 1, 2):
        house.clock.advance(days=step)
        swept(house)
        found.append(there())

    assert found == [True, True, False]


def test_every_rule_that_names_a_time_is_tried() -> None:
    assert set(timed(Settings())) == set(KEPT)
    assert len({rule.rule for rule in retention.policy(Settings())}) == len(retention.policy(Settings()))


@pytest.mark.parametrize("settings", [Settings(), Settings(**OTHERS), Settings(proof_retention=timedelta())])
def test_a_rule_names_the_time_that_it_goes_by(settings: Settings) -> None:
    for rule in retention.policy(settings):
        assert rule.days is None or f"{rule.days} days" in rule.how_long
        assert all((rule.what, rule.why, rule.how_long, rule.by))


def test_times_in_the_policy_are_settings() -> None:
    """No number is written down twice: with other settings, none of the defaults is left."""
    other = " ".join(f"{rule.what} {rule.how_long}" for rule in retention.policy(Settings(**OTHERS)))

    for setting in (Settings().consent_days, Settings().consent_max_days, *timed(Settings()).values()):
        assert f"{setting} days" not in other


def test_policy_access_document_and_notice_say_the_same(house: House) -> None:
    published = house.client.get("/v1/retention-policy", params={"limit": 200}).json()["items"]
    notice = house.client.get(f"/v1/notices/{house.notice('verification')}").text
    days = f"{house.settings.consent_days} days"

    assert document(house.person())["retention"] == published
    assert (days in notice) == (house.settings.consent_days == 365), "that was published under the defaults"
    assert any(days in rule["how_long"] for rule in published)


def test_the_page_has_every_rule_of_the_policy() -> None:
    rows_of_the_page = re.findall(
        r"^\| (`.+?) \|", (ROOT / "docs" / "reference" / "retention.md").read_text(), re.MULTILINE
    )

    assert {name for row in rows_of_the_page for name in re.findall(r"`(\w+)`", row)} == {
        one.rule for one in retention.policy(Settings())
    }


def test_of_relying_parties_nothing_is_kept_for_them(mien: House) -> None:
    rules = {one["rule"]: one for one in mien.client.get("/v1/retention-policy").json()["items"]}

    assert rules["decisions_of_relying_parties"]["how_long"] == "none is kept for it"
    assert rules["decisions_of_relying_parties"]["days"] is None


def test_a_second_sweep_finds_nothing(house: House) -> None:
    for prepare in (access_counts, proofs, erasures):
        prepare(house)
    house.clock.advance(days=4000)
    first = run_maintenance(house.vault, settings=house.settings, now=house.clock())
    before = unjoined(house.vault)
    second = run_maintenance(house.vault, settings=house.settings, now=house.clock())

    assert (first.access_counts_deleted, first.proofs_deleted, first.erasures_forgotten) == (1, 1, 1)
    assert not any((second.purged, second.expired, second.tokens_ended, second.access_counts_deleted))
    # Fewer, if a batch of the log fell in between.
    assert unjoined(house.vault).items() <= before.items(), "no entry was added"


def test_many_go_page_by_page_and_an_interrupted_sweep_goes_on(mien: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_expiry, "PAGE", 2)
    person = mien.person()
    for _ in range(5):
        person("GET", "/v1/me/access")
        mien.clock.advance(days=1)
    mien.clock.advance(days=500)
    calls: list[Any] = []

    def fail_at_the_second(*given: Any, **more: Any) -> None:
        calls.append(more)
        if len(calls) == 2:
            raise OperationalError("", None, OSError("disk I/O error"))
        append_open(*given, **more)

    with monkeypatch.context() as failing:
        failing.setattr(record_expiry, "append_open", fail_at_the_second)
        with pytest.raises(OperationalError):
            run_maintenance(mien.vault, settings=mien.settings, now=mien.clock())
    left = counted(mien, "access_counts")
    run_maintenance(mien.vault, settings=mien.settings, now=mien.clock())

    assert left == 3, "what was not entered was not deleted"
    assert counted(mien, "access_counts") == 0
    assert list(unjoined(mien.vault).values()).count("retention_run") == 3


def test_an_erasure_in_progress_is_not_forgotten(mien: House) -> None:
    erasure_id = mien.person()("DELETE", "/v1/me").json()["erasure_id"]
    for change in (
        "step = 'deleted', completed_on = NULL",
        "step = 'completed', completed_on = '2020-01-01', rebuilt = 0",
    ):
        with mien.vault.data.write() as session:
            session.connection().exec_driver_sql(f"UPDATE erasures SET {change}")  # noqa: S608 - columns of our own
        record_expiry.forget_erasures(mien.vault, keeping=mien.settings.erasure_retention, now=mien.clock())

        assert mien.client.get(f"/v1/erasures/{erasure_id}").status_code == 200


def test_erasure_says_until_when_it_can_be_seen(mien: House) -> None:
    kept = {one["what"]: one for one in mien.person()("DELETE", "/v1/me").json()["kept"]}

    assert "1095 days (3 years)" in kept["this erasure"]["why"]
