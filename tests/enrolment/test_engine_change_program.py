"""The program starts with another engine than before; the operator's commands count and renew templates."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app.faces.cards.card import load_card
from app.faces.flaws import Flaw
from app.faces.permit import Permit
from app.faces.workers.messages import Measurement
from app.templates import status as template_status
from app.transparency.log.entries import LoggedAct
from tests.architecture.source import ROOT
from tests.enrolment.engine_change import EnrolledSubject, enrol_subject, entries_of, served, supersede
from tests.support.launcher import refused, run_command, run_program
from tests.support.service_fixture import MovableClock, RunningService, ToyPool, enrol, serving
from tests.support.toy_engine import other_toy_card, toy_card

pytestmark = pytest.mark.slow

TOY = toy_card()
PEOPLE = ROOT / "tests" / "images" / "people"
PATIENCE_S = 300.0


def photo(person: str, name: str) -> bytes:
    return (PEOPLE / person / f"{name}.jpg").read_bytes()


class AnyFacePool(ToyPool):
    """An engine that returns the same vector for every photo."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Return the same measurement for each photo."""
        assert permit.grant_ids
        return [Measurement((0.1,) * 128, {}, one if permit.keeps_photos else None) for one in images]


def enrol_with_kept_photos(
    service: RunningService, photos: Sequence[bytes], *, at: EnrolledSubject | None = None
) -> EnrolledSubject:
    """Register a subject and enrol photos that the service keeps."""
    person, party = service.person(), at.party if at else service.party()
    consent, renewal = service.consent(person, party), service.consent(person, None, purpose="template_renewal")
    assert enrol(person, [consent["consent_id"]], photos, keep_photos="true").status_code == 201
    return EnrolledSubject(person, party, consent, renewal)


def wait_for_template(one: EnrolledSubject, **fields: object) -> dict[str, Any]:
    """Wait until the template has these fields, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not fields.items() <= (template := one.template()).items() and time.monotonic() < deadline:
        time.sleep(0.1)
    return template


def test_the_program_renews_templates_after_a_start_with_another_engine(root: Path) -> None:
    """The first engine is a toy; the second is the default engine in workers of the program."""
    front = [photo("P001", "studio_portrait"), photo("P001", "amateur_selfie")]
    with serving(root, AnyFacePool(), TOY, sweep_interval_s=1e6) as before:
        eve = enrol_with_kept_photos(before, front)
        # The default engine finds no face in it.
        bob = enrol_with_kept_photos(before, [(PEOPLE.parent / "awkward" / "noface_cat.jpg").read_bytes()], at=eve)
        cleo = enrol_with_kept_photos(before, front[:1], at=eve)
        cleo.person("PUT", "/v1/me/restriction").raise_for_status()
    with run_program(root, MIEN_SWEEP_INTERVAL_S="0.5", MIEN_LOG_INTERVAL="1000000000") as now:
        eve, bob, cleo = (one.at(now) for one in (eve, bob, cleo))
        renewed, refused_photos = (
            wait_for_template(eve, engine_in_force=True),
            wait_for_template(bob, to_do=template_status.PHOTOS_UNUSABLE),
        )
        answers = [
            one.party.verify(one.consent["subject_ref"], photo(who, "studio_portrait")).json().get("decision")
            for one, who in ((eve, "P001"), (eve, "P002"), (bob, "P001"), (cleo, "P001"))
        ]
        entries = (
            entries_of(eve.person, LoggedAct.TEMPLATE_RENEWED),
            entries_of(bob.person, LoggedAct.TEMPLATE_NOT_RENEWED),
        )
        gauges = read_gauges(now.client.get("/metrics").text)
    coverage = json.loads(run_command(root, "engines", "coverage", "--json").stdout)
    by_hand = run_command(root, "renew-templates", "--json")

    assert renewed["engine"] == "face_recognition"
    assert answers == ["match", "no_match", None, None]
    assert refused_photos["engine"] == TOY.id
    assert [(one["engine"], one["engine_before"]) for one in entries[0]] == [("face_recognition", TOY.id)]
    assert [one["slug"] for one in entries[1]] == ["no-face"]
    assert gauges == {("face_recognition", "true"): 1, (TOY.id, "false"): 2}
    assert counts_of(coverage) == {"face_recognition": (True, 1, 0, 0), TOY.id: (False, 2, 0, 2)}
    assert (coverage["mislabelled"], by_hand.returncode) == (0, 0)
    assert json.loads(by_hand.stdout) == {"renewed": 0, "have_to_enrol_again": 0, "left": 0}


def test_the_operator_renews_by_a_command(root: Path) -> None:
    with serving(root, AnyFacePool(), TOY, sweep_interval_s=1e6) as before:
        eve = enrol_with_kept_photos(before, [photo("P001", "studio_portrait")])
        early = run_command(root, "renew-templates")
        supersede(before, load_card("face_recognition"))
        coverage = run_command(root, "engines", "coverage")
        done = run_command(root, "renew-templates", "--json")
        template = eve.template()

    assert refused(early, "the service was last started with toy")
    assert "1 templates, which end on" in coverage.stdout
    assert "1 can be renewed from kept photos" in coverage.stdout
    assert json.loads(done.stdout) == {"renewed": 1, "have_to_enrol_again": 0, "left": 0}
    assert (template["engine"], template["engine_in_force"]) == ("face_recognition", True)


def test_coverage_has_counts_and_no_ids(root: Path) -> None:
    clock = MovableClock()
    with served(root, TOY, clock=clock) as service:
        mine = [enrol_subject(service, keep_photos=False)]
        mine += [
            enrol_subject(service, keep_photos=keeps, party=mine[0].party, face=face)
            for face, keeps in ((2, True), (3, True))
        ]
        mine[2].person("PUT", "/v1/me/restriction").raise_for_status()
        supersede(service)
        mine.append(enrol_subject(service, keep_photos=False, party=mine[0].party, face=4))
    printed = run_command(root, "engines", "coverage", "--json").stdout
    read = run_command(root, "engines", "coverage").stdout

    assert counts_of(json.loads(printed)) == {other_toy_card().id: (True, 0, 0, 0), TOY.id: (False, 4, 1, 3)}
    assert all(one.person.subject_id not in printed + read and one.consent_id not in printed + read for one in mine)


def counts_of(printed: dict[str, Any]) -> dict[str, tuple[bool, int, int, int]]:
    return {
        one["engine"]: (one["in_force"], one["templates"], one["renewable"], one["enrol_again"])
        for one in printed["engines"]
    }


def read_gauges(text: str) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["engine"], sample.labels["in_force"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "mien_templates"
    }
