"""A start with another engine: its effects on subjects, on the operator, and on the end of templates."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from app.jobs.maintenance import run_maintenance
from app.templates import expiry
from app.templates import status as template_status
from app.transparency.log.entries import LoggedAct, append_open_entry
from tests.consent.spies import change_row
from tests.enrolment.engine_change import enrol_subject, entries_of, pending_records, served, supersede
from tests.support.byte_scan import rows
from tests.support.service_fixture import MovableClock, RunningService, enrol
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo

TOY, OTHER = toy_card(), other_toy_card()


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
def service(root: Path, clock: MovableClock) -> Iterator[RunningService]:
    with served(root, TOY, clock=clock) as running:
        # At noon, so that a test does not cross midnight.
        clock.moved -= timedelta(hours=clock().hour - 12)
        yield running


def engine_rows(service: RunningService) -> dict[str, tuple[str | None, str | None]]:
    query = "SELECT engine_id, in_force_until, templates_end_on FROM engines"
    return {engine: (until, end) for engine, until, end in rows(in_file(service.vault.data).path, query)}


def test_templates_of_the_superseded_engine_are_never_compared_and_subjects_enrol_again(
    root: Path, clock: MovableClock
) -> None:
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=False)
        first = enrolled.verify(), enrolled.template()
    with served(root, OTHER, clock=clock) as after:
        again = enrolled.at(after)
        refused = again.party.verify(again.consent["subject_ref"], toy_photo(1))
        unknown = again.party.verify("unknown", toy_photo(1))
        template, consents = again.template(), again.person("GET", "/v1/me/consents").json()["items"]
        answer = enrol(again.person, [again.consent_id], [toy_photo(1)])
        anew = again.verify(), again.verify(2), again.template()
    ends = (clock().date() + timedelta(days=90)).isoformat()

    assert first[0] == "match"
    assert (first[1]["engine_in_force"], first[1]["ends_on"], first[1]["to_do"]) == (True, None, None)
    assert (refused.status_code, refused.content) == (404, unknown.content)
    assert (template["engine"], template["weights_sha256"]) == (TOY.id, TOY.weights_sha256)
    assert (template["engine_in_force"], template["ends_on"], template["to_do"]) == (
        False,
        ends,
        template_status.ENROL_AGAIN,
    )
    assert [one["state"] for one in consents] == ["given"], "the consent is still in force"
    assert answer.json()["engine"] == OTHER.id
    assert anew[:2] == ("match", "no_match")
    assert (anew[2]["engine"], anew[2]["engine_in_force"], anew[2]["ends_on"]) == (OTHER.id, True, None)


def test_the_transparency_log_records_the_change_and_the_end_of_the_templates(root: Path, clock: MovableClock) -> None:
    with served(root, TOY, clock=clock) as before:
        assert pending_records(before, LoggedAct.ENGINE_CHANGED) == [], "the first engine is no change"
    for _ in range(2):
        with served(root, OTHER, clock=clock, superseded_template_days=7) as after:
            found, engines = pending_records(after, LoggedAct.ENGINE_CHANGED), engine_rows(after)
    today, ends = clock().date().isoformat(), (clock().date() + timedelta(days=7)).isoformat()

    assert found == [
        {
            "act": "engine_changed",
            "on": today,
            "engine": OTHER.id,
            "weights_sha256": OTHER.weights_sha256,
            "engine_before": TOY.id,
            "weights_before": TOY.weights_sha256,
            "templates_end_on": ends,
        }
    ], "a second start with the same engine records nothing"
    assert engines == {TOY.id: (today, ends), OTHER.id: (None, None)}


def test_a_return_to_the_engine_before_the_last_day_restores_its_templates(root: Path, clock: MovableClock) -> None:
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=False)
    for card, days in ((OTHER, 0), (TOY, 60), (OTHER, 60), (TOY, 60)):
        clock.advance(days=days)
        with served(root, card, clock=clock) as service:
            found, engines = enrolled.at(service).verify(), engine_rows(service)

        assert found == ("match" if card is TOY else 404)
        assert engines[card.id] == (None, None)


def test_a_return_after_the_last_day_restores_no_template_even_without_a_maintenance_run(
    root: Path, clock: MovableClock
) -> None:
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=False)
    with served(root, OTHER, clock=clock):
        pass
    clock.advance(days=91)
    with served(root, TOY, clock=clock) as back:
        again = enrolled.at(back)

        assert again.verify() == 404
        assert again.person("GET", "/v1/me/enrolments").json()["items"] == []
        assert [one["templates"] for one in entries_of(again.person, LoggedAct.TEMPLATE_ENDED)] == [1]


def test_templates_end_on_the_day_with_photos_and_keys_and_consents_stay_in_force(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=True)
    assert enrolled.renewal is not None
    ids = [enrolled.consent_id, str(enrolled.renewal["consent_id"])]
    enrolment = enrolled.person("GET", "/v1/me/enrolments").json()["items"][0]["enrolment_id"]
    keys = service.living_keys(*ids)
    supersede(service)
    found = []
    for days in (89, 1):
        service.clock.advance(days=days)
        done = run_maintenance(service.vault, settings=service.settings, now=service.clock())
        left = [
            rows(in_file(service.vault.data).path, f"SELECT count(*) FROM {one}")[0][0]  # noqa: S608 - names of our own
            for one in ("templates", "photos")
        ]
        found.append((done.templates_ended, *left))
    (ended,) = entries_of(enrolled.person, LoggedAct.TEMPLATE_ENDED)
    after = service.living_keys(*ids)

    assert found == [(0, 1, 2), (1, 0, 0)]
    assert {one["state"] for one in enrolled.person("GET", "/v1/me/consents").json()["items"]} == {"given"}
    assert all(len(after[one]) == 1 and not after[one] & keys[one] for one in ids), (
        "the keys that sealed them are destroyed"
    )
    assert ended.pop("at")
    assert ended == {
        "act": "template_ended",
        "enrolment_id": enrolment,
        "templates": 1,
        "engine": TOY.id,
        "weights_sha256": TOY.weights_sha256,
    }
    assert [one["templates_ended"] for one in pending_records(service, LoggedAct.RETENTION_RUN)] == [1]
    assert enrol(enrolled.person, [enrolled.consent_id], [toy_photo(1)]).status_code == 201


def test_templates_end_page_by_page_and_an_interrupted_run_continues(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expiry, "PAGE", 1)
    party = service.party()
    people = [enrol_subject(service, keep_photos=False, party=party, face=face) for face in range(3)]
    supersede(service)
    service.clock.advance(days=90)
    calls: list[object] = []

    def fail_second_call(*arguments: object, **fields: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise RuntimeError
        append_open_entry(*arguments, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(expiry, "append_open_entry", fail_second_call)
    with pytest.raises(RuntimeError):
        expiry.end_superseded_templates(service.vault, now=service.clock())
    left = rows(in_file(service.vault.data).path, "SELECT count(*) FROM templates")
    ended = expiry.end_superseded_templates(service.vault, now=service.clock())

    assert (left, ended) == ([(2,)], 2)
    assert expiry.end_superseded_templates(service.vault, now=service.clock()) == 0
    assert all(len(entries_of(one.person, LoggedAct.TEMPLATE_ENDED)) == 1 for one in people)


def test_a_subject_under_erasure_gets_no_further_entry(service: RunningService) -> None:
    leaving = enrol_subject(service, keep_photos=False)
    supersede(service)
    service.clock.advance(days=90)
    change_row(service.vault, "UPDATE subjects SET erasing = 1 WHERE id = :id", id=UUID(leaving.person.subject_id).hex)

    assert expiry.end_superseded_templates(service.vault, now=service.clock()) == 0


# --- Enforced by the database


def test_no_template_of_an_engine_that_never_was_in_force_can_be_inserted(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=False)
    columns = [row[1] for row in rows(in_file(service.vault.data).path, "PRAGMA table_info(templates)")]
    copied = ", ".join({"id": ":id", "weights_sha256": ":weights", "engine_id": ":engine"}.get(c, c) for c in columns)
    statement = f"INSERT OR REPLACE INTO templates SELECT {copied} FROM templates WHERE grant_id = :grant"  # noqa: S608 - names of the schema
    values = {"id": "f" * 32, "grant": UUID(enrolled.consent_id).hex}

    for engine, weights in (("toy", "0" * 64), ("other_toy", TOY.weights_sha256)):
        with pytest.raises(IntegrityError, match="a template needs an engine that was in force"):
            change_row(service.vault, statement, engine=engine, weights=weights, **values)
    change_row(service.vault, statement, engine="toy", weights=TOY.weights_sha256, **values)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE templates SET weights_sha256 = weights_sha256", "what a template was made by is never changed"),
        ("UPDATE templates SET engine_id = 'other_toy'", "what a template was made by is never changed"),
        ("DELETE FROM engines", "there are templates of this engine"),
        ("UPDATE engines SET engine_id = 'other_toy'", "an engine is never renamed"),
    ],
)
def test_the_database_refuses_a_change_of_a_label(service: RunningService, statement: str, reason: str) -> None:
    enrol_subject(service, keep_photos=False)

    with pytest.raises(IntegrityError, match=reason):
        change_row(service.vault, statement)
