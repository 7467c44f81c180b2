"""A template is valid only for the engine that made it; under another engine's label it is refused everywhere.

The tests change the database directly: the row of a template names another engine than the one that made it.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from app.rights.access_schema import schema
from app.templates import coverage
from app.templates import status as template_status
from app.vault.backup_manifest import BackupError
from tests.consent.spies import change_row, watch_pipe
from tests.enrolment.engine_change import EnrolledSubject, enrol_subject, served, supersede
from tests.laws.test_law_09_one_answer import as_sent
from tests.support.byte_scan import rows
from tests.support.changed_schema import without_trigger
from tests.support.launcher import refused, run_command
from tests.support.service_fixture import MovableClock, RunningService, ToyPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import other_toy_card, toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.operator import contents, make_backup, restore

TOY, OTHER = toy_card(), other_toy_card()


@pytest.fixture
def service(root: Path) -> Iterator[RunningService]:
    """The other engine is in force; the toy engine was before."""
    clock = MovableClock()
    with served(root, TOY, clock=clock):
        pass
    with served(root, OTHER, clock=clock, failed_references=1000) as running:
        yield running


def relabel(service: RunningService, consent_id: str, *, as_of: Any = OTHER) -> None:
    """Label a template with another engine, without the triggers."""
    statement = "UPDATE templates SET engine_id = :engine, weights_sha256 = :weights WHERE grant_id = :grant"
    values = {"engine": as_of.id, "weights": as_of.weights_sha256, "grant": UUID(consent_id).hex}
    with without_trigger(service.vault.data, "templates_are_never_relabelled"):
        change_row(service.vault, statement, **values)


@pytest.fixture
def crossed(root: Path) -> Iterator[tuple[RunningService, EnrolledSubject]]:
    """The template of the older engine has the label of the one in force."""
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=False)
    with served(root, OTHER, clock=clock) as after:
        relabel(after, enrolled.consent_id)
        yield after, enrolled.at(after)


def test_it_is_never_compared_and_the_answer_is_that_for_an_unknown_reference(
    crossed: tuple[RunningService, EnrolledSubject], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, enrolled = crossed
    pipe = watch_pipe(monkeypatch)
    enrolled.party.verify("nobody", toy_photo(1))
    nobody = enrolled.party.verify("nobody", toy_photo(1))
    with capture_logs() as logged:
        found = enrolled.party.verify(enrolled.consent["subject_ref"], toy_photo(1))
    shown = [one for one in logged if "labelled" in one["event"]]

    assert without_id(as_sent(found)) == without_id(as_sent(nobody))
    assert found.status_code == 404
    assert rows(in_file(service.vault.data).path, "SELECT count(*) FROM comparisons") == [(0,)]
    assert pipe == [], "no image reached an engine"
    assert shown == [{"event": "a template is labelled with another engine than its own", "log_level": "error"}], (
        "without ids"
    )


def without_id(answer: tuple[int, bytes, tuple[tuple[str, str], ...]]) -> Any:
    """Return an answer without its request id."""
    return answer[0], answer[1], [one for one in answer[2] if one[0] != "x-request-id"]


def test_a_template_with_the_right_label_is_compared(crossed: tuple[RunningService, EnrolledSubject]) -> None:
    """The control: the same engine and relying party."""
    service, enrolled = crossed
    other = enrol_subject(service, keep_photos=False, party=enrolled.party, face=2)

    assert (other.verify(2), other.verify(1)) == ("match", "no_match")


def test_an_export_has_the_sealed_label_and_the_false_one(
    crossed: tuple[RunningService, EnrolledSubject],
) -> None:
    _, enrolled = crossed
    answer = enrolled.person("GET", "/v1/me/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = [one for one in archive.namelist() if one.startswith("templates/")]
        template = json.loads(archive.read(name))
        document, page = json.loads(archive.read("mien.json")), archive.read("index.html").decode()
    truly = {"engine": TOY.id, "weights_sha256": TOY.weights_sha256}
    falsely = {"engine": OTHER.id, "weights_sha256": OTHER.weights_sha256}
    (row,), (shown,) = document["data"]["templates"], document["templates"]

    assert {name: template[name] for name in truly} == truly
    assert template["labelled_falsely_as"] == falsely
    assert (row["engine_id"], row["weights_sha256"]) == (TOY.id, TOY.weights_sha256)
    assert {name: shown[name] for name in truly} == truly
    assert (shown["labelled_falsely_as"], shown["engine_in_force"]) == (falsely, False)
    assert shown["to_do"] == template_status.MISLABELLED
    assert f"Wrong label in the database</dt><dd>{OTHER.id}" in page


def test_access_and_enrolments_say_the_same(crossed: tuple[RunningService, EnrolledSubject]) -> None:
    _, enrolled = crossed
    document = enrolled.person("GET", "/v1/me/access").json()
    shown = enrolled.template()

    assert document["templates"][0] == {**shown, "enrolment_id": document["templates"][0]["enrolment_id"]}
    assert document["data"]["templates"][0]["engine_id"] == TOY.id
    assert set(document["templates"][0]) == set(schema()["$defs"]["TemplateStatus"]["properties"])


def test_enrolling_again_replaces_it(crossed: tuple[RunningService, EnrolledSubject]) -> None:
    service, enrolled = crossed
    assert enrol(enrolled.person, [enrolled.consent_id], [toy_photo(1)]).status_code == 201

    assert enrolled.verify() == "match"
    assert coverage.count_mislabelled(service.vault) == 0


def test_a_template_of_the_engine_in_force_under_the_older_one_is_not_compared_either(service: RunningService) -> None:
    enrolled = enrol_subject(service, keep_photos=False)
    assert enrolled.verify() == "match"
    relabel(service, enrolled.consent_id, as_of=TOY)

    assert enrolled.verify() == 404
    assert enrolled.template()["engine"] == OTHER.id
    assert coverage.count_mislabelled(service.vault) == 1


def test_a_backup_with_it_is_refused_and_the_data_is_as_it_was(root: Path, tmp_path: Path) -> None:
    clock, backup = MovableClock(), tmp_path / "backup"
    with served(root, TOY, clock=clock) as service:
        first = enrol_subject(service, keep_photos=False)
        people = [first, *(enrol_subject(service, keep_photos=False, party=first.party, face=face) for face in (2, 3))]
        supersede(service)
        for one in people[:2]:
            relabel(service, one.consent_id)
        make_backup(root, backup)
        enrol_subject(service, keep_photos=False, party=first.party, face=4)
    was = contents(root)

    with pytest.raises(BackupError, match="2 templates are labelled with another engine"):
        restore(root, backup)
    assert refused(run_command(root, "restore", backup), "Use another backup")
    assert contents(root) == was


def test_a_dead_row_does_not_keep_a_backup_from_being_restored(root: Path, tmp_path: Path) -> None:
    clock, backup = MovableClock(), tmp_path / "backup"
    with served(root, TOY, clock=clock) as service:
        enrolled = enrol_subject(service, keep_photos=False)
        supersede(service)
        relabel(service, enrolled.consent_id)
        make_backup(root, backup)
        enrolled.person("DELETE", f"/v1/me/consents/{enrolled.consent_id}").raise_for_status()

    assert restore(root, backup).purged


def test_the_operator_is_warned_at_the_start(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as before:
        enrolled = enrol_subject(before, keep_photos=False)
        supersede(before)
        relabel(before, enrolled.consent_id)
    with capture_logs() as logged:
        coverage.report_mislabelled(before.vault)
    errors = [one for one in logged if one["event"].startswith("templates are labelled")]
    shown = run_command(root, "engines", "coverage", "--json")

    assert [(one["log_level"], one["templates"]) for one in errors] == [("error", 1)]
    assert json.loads(shown.stdout)["mislabelled"] == 1


def test_a_running_service_checks_by_itself(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[object] = []
    monkeypatch.setattr(coverage, "report_mislabelled", looked.append)
    with serving(root, ToyPool(), TOY, clock=MovableClock(), sweep_interval_s=0.01) as service:
        for _ in range(100):
            service.client.get("/livez")

    assert looked == [service.vault], "once, however often it looks for what can be renewed"
