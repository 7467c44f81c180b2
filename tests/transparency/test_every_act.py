"""Every act adds a leaf whose record names it: over HTTP, by a command, and by maintenance."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from typer.testing import CliRunner

from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.http_client import CallResult, Outcome
from app.callbacks.registration import set_callback
from app.cli.program import app
from app.jobs.maintenance import run_maintenance
from app.parties import service as parties
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.web.callers import token_digest
from tests.consent.drafts import draft, publish
from tests.enrolment.engine_change import FlawPool, run_renewal, supersede
from tests.support.launcher import environment
from tests.support.service_fixture import FOR_EVER, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.support.waiting import wait_until
from tests.transparency.joined_leaves import open_stores, pending_leaves, read_leaves
from tests.transparency.pending_leaves import EnrolledCase, pending_acts
from tests.vault.operator import make_backup, restore

Act = Callable[[EnrolledCase], object]


NEW_VERSIONS = count(9)
"""Versions of notices that no test has published."""


@pytest.fixture
def case(root: Path, pool: SharedPool) -> Iterator[EnrolledCase]:
    """A service of its own, for an act that other people's data could cause too."""
    with serving(root, pool, toy_card(), sweep_interval_s=FOR_EVER) as service:
        yield EnrolledCase(service, *service.enrolled(face=1))


def decide(case: EnrolledCase, decision: str) -> None:
    case.service.consent(case.person, case.party, decision=decision)


def give(case: EnrolledCase) -> None:
    case.service.consent(case.person, case.service.party(f"Gate {uuid4()}"))


def give_on_a_new_notice(case: EnrolledCase) -> None:
    publish_notice(case)
    decide(case, "given")


def withdraw(case: EnrolledCase) -> None:
    case.person("DELETE", case.address).raise_for_status()


def run_later(case: EnrolledCase, **later: float) -> None:
    """Run the maintenance at a later time."""
    case.service.clock.advance(**later)
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())


def delete_old_proof(case: EnrolledCase) -> None:
    withdraw(case)
    run_later(case, days=4 * 365)


def enrol_again(case: EnrolledCase) -> None:
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1, variant=3)]).status_code == 201


def delete_enrolment(case: EnrolledCase) -> None:
    (one,) = case.person("GET", "/v1/me/enrolments").json()["items"]
    case.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}").raise_for_status()


def compare(case: EnrolledCase) -> None:
    case.party.verify(case.consent["subject_ref"], toy_photo(1)).raise_for_status()


def compare_with_another_face(case: EnrolledCase) -> None:
    assert case.party.verify(case.consent["subject_ref"], toy_photo(2)).json()["decision"] == "no_match"


def refuse_a_party(case: EnrolledCase) -> None:
    assert case.party.verify("unknown", toy_photo(1)).status_code == 404


def refuse_a_person(case: EnrolledCase) -> None:
    withdraw(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 403


def restrict(case: EnrolledCase) -> None:
    case.person("PUT", "/v1/me/restriction").raise_for_status()


def refuse_while_restricted(case: EnrolledCase) -> None:
    restrict(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 423


def lift_restriction(case: EnrolledCase) -> None:
    restrict(case)
    case.person("DELETE", "/v1/me/restriction").raise_for_status()


def dispute(case: EnrolledCase) -> str:
    compare(case)
    (line,) = case.person("GET", "/v1/me/comparisons").json()["items"]
    address = f"/v1/me/comparisons/{line['comparison_id']}/dispute"
    case.person("PUT", address, json={"note": "not me"}).raise_for_status()
    return address


def lift_dispute(case: EnrolledCase) -> None:
    case.person("DELETE", dispute(case)).raise_for_status()


def refuse_while_disputed(case: EnrolledCase) -> None:
    dispute(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 423


def stop_a_party(case: EnrolledCase) -> None:
    """Stop a relying party by failed references, of which the last is the person's own."""
    for number in range(case.service.settings.failed_references - 1):
        case.party.verify(f"unknown {number}", toy_photo(1))
    compare_with_another_face(case)


def rectify(case: EnrolledCase) -> None:
    case.person("PATCH", "/v1/me", json={"display_name": "Ada"}).raise_for_status()


def access(case: EnrolledCase) -> None:
    case.person("GET", "/v1/me/access", params={"receipt": "true"}).raise_for_status()


def erase(case: EnrolledCase) -> None:
    assert case.person("DELETE", "/v1/me").json()["status"] == "completed"


def publish_notice(case: EnrolledCase) -> None:
    publish(case.service.vault, draft(version=next(NEW_VERSIONS)), now=case.service.clock())


def add_party(case: EnrolledCase) -> None:
    case.service.party(f"Gate {uuid4()}")


def set_a_callback(case: EnrolledCase) -> None:
    now = case.service.clock()
    set_callback(case.service.vault, party_id=UUID(case.party.id), to="https://127.0.0.1/", private=True, now=now)


def deliver(case: EnrolledCase) -> None:
    set_a_callback(case)
    withdraw(case)
    vault, answer = case.service.vault, CallResult(Outcome.ACKNOWLEDGED, "204")
    DeliveryWorker(vault, lambda _to, _body: answer, days=7, clock=case.service.clock).run_once(within_s=10)


def fail_delivery(case: EnrolledCase) -> None:
    set_a_callback(case)
    withdraw(case)
    case.service.clock.advance(days=9)
    vault, answer = case.service.vault, CallResult(Outcome.UNREACHABLE, "ConnectError")
    DeliveryWorker(vault, lambda _to, _body: answer, days=7, clock=case.service.clock).run_once(within_s=10)


def rotate_party_key(case: EnrolledCase) -> None:
    parties.rotate_key(
        case.service.vault, party_id=UUID(case.party.id), settings=case.service.settings, now=case.service.clock()
    )


def revoke_party(case: EnrolledCase) -> None:
    parties.revoke(case.service.vault, party_id=UUID(case.party.id), now=case.service.clock())


def describe_party(case: EnrolledCase) -> None:
    changes = parties.PartyChanges(context="the entrance")
    parties.update_party(case.service.vault, party_id=UUID(case.party.id), changes=changes, now=case.service.clock())


def end_replaced_party_key(case: EnrolledCase) -> None:
    now = case.service.clock()
    parties.rotate_key(
        case.service.vault,
        party_id=UUID(case.party.id),
        overlap=timedelta(hours=1),
        settings=case.service.settings,
        now=now,
    )
    run_later(case, hours=2)


def rotate_key_encryption_key(case: EnrolledCase) -> None:
    result = CliRunner(env=environment(case.service.root)).invoke(app, ["keys", "rotate"])
    assert result.exit_code == 0, result.output


def rotate_signing_key(case: EnrolledCase) -> None:
    signing_keys.rotate(case.service.vault, now=case.service.clock())


def report_stolen_signing_key(case: EnrolledCase) -> None:
    now = case.service.clock()
    which = signing_keys.current_thumbprint(case.service.vault, KeyUse.RECEIPTS)
    signing_keys.mark_stolen(case.service.vault, which=which, stolen_at=now, now=now)


def renew(case: EnrolledCase) -> None:
    body = {"notice_sha256": case.consent["notice_sha256"]}
    case.person("POST", f"{case.address}/renewal", json=body).raise_for_status()


def shorten_history(case: EnrolledCase) -> None:
    compare(case)
    tomorrow = case.service.clock().date() + timedelta(days=1)
    case.person("DELETE", "/v1/me/comparisons", params={"before": str(tomorrow)}).raise_for_status()


def end_unused_token(case: EnrolledCase) -> None:
    case.person("POST", "/v1/me/tokens").raise_for_status()
    with case.service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = '2020-01-01' WHERE kind = 'access' AND digest != ?",
            (token_digest(case.person.token),),
        )
    run_later(case)


def delete_old_access_count(case: EnrolledCase) -> None:
    case.person("GET", "/v1/me/access").raise_for_status()
    run_later(case, days=500)


def delete_old_erasure(case: EnrolledCase) -> None:
    erase(case)
    run_later(case, days=4 * 365)


def change_engine(case: EnrolledCase) -> None:
    supersede(case.service)


def end_old_template(case: EnrolledCase) -> None:
    supersede(case.service)
    run_later(case, days=91)


def change_engine_of_kept_photos(case: EnrolledCase) -> None:
    case.service.consent(case.person, None, purpose="template_renewal")
    answer = enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    assert answer.status_code == 201
    supersede(case.service)


def renew_template(case: EnrolledCase) -> None:
    change_engine_of_kept_photos(case)
    assert run_renewal(case.service).renewed == 1


def fail_to_renew_template(case: EnrolledCase) -> None:
    change_engine_of_kept_photos(case)
    assert run_renewal(case.service, pool=FlawPool()).have_to_enrol_again == 1


ACTS: dict[str, tuple[Act, set[str]]] = {
    "consent given": (give, {"consent_given"}),
    "consent given on a new notice": (give_on_a_new_notice, {"consent_withdrawn", "consent_given"}),
    "consent refused": (lambda case: decide(case, "refused"), {"consent_withdrawn", "consent_refused"}),
    "consent withdrawn": (withdraw, {"consent_withdrawn"}),
    "enrolment": (enrol_again, {"enrolment"}),
    "its deletion": (delete_enrolment, {"enrolment_deleted"}),
    "comparison": (compare, {"comparison"}),
    "comparison that does not match": (compare_with_another_face, {"comparison"}),
    "refusal to a relying party": (refuse_a_party, {"refusal"}),
    "refusal to a person": (refuse_a_person, {"refusal"}),
    "refusal while restricted": (refuse_while_restricted, {"refusal"}),
    "restriction": (restrict, {"restriction"}),
    "lift": (lift_restriction, {"restriction_lifted"}),
    "dispute": (dispute, {"dispute"}),
    "its lift": (lift_dispute, {"dispute_lifted"}),
    "refusal while disputed": (refuse_while_disputed, {"refusal"}),
    "sweep stopped": (stop_a_party, {"sweep_stopped", "sweep_touched"}),
    "rectification": (rectify, {"rectification"}),
    "access, with a receipt": (access, {"access"}),
    "erasure": (erase, {"erasure"}),
    "notice published": (publish_notice, {"notice_published"}),
    "relying party added": (add_party, {"relying_party_added"}),
    "its callback set": (set_a_callback, {"relying_party_callback"}),
    "its key rotated": (rotate_party_key, {"relying_party_key_rotated"}),
    "relying party revoked": (revoke_party, {"relying_party_revoked"}),
    "relying party described": (describe_party, {"relying_party_described"}),
    "key-encryption key rotated": (rotate_key_encryption_key, {"key_encryption_key_rotated"}),
    "signing key rotated": (rotate_signing_key, {"signing_key_retired", "signing_key_made"}),
    "signing key stolen": (report_stolen_signing_key, {"signing_key_stolen"}),
    "consent renewed": (renew, {"consent_given"}),
    "history shortened": (shorten_history, {"history_shortened"}),
}

LATER_ACTS: dict[str, tuple[Act, set[str]]] = {
    "consent expired": (lambda case: run_later(case, days=400), {"consent_expired"}),
    "relying party told": (deliver, {"relying_party_callback", "consent_withdrawn", "delivery"}),
    "relying party not told for days": (fail_delivery, {"consent_withdrawn", "delivery"}),
    "its replaced key ended": (end_replaced_party_key, {"relying_party_key_rotated", "relying_party_key_ended"}),
    "retention run": (delete_old_proof, {"retention_run"}),
    "retention run over access counts": (delete_old_access_count, {"retention_run"}),
    "retention run over erasures": (delete_old_erasure, {"retention_run"}),
    "unused token ended": (end_unused_token, {"token_unused", "retention_run"}),
    "engine changed": (change_engine, {"engine_changed"}),
    "template of an older engine ended": (end_old_template, {"engine_changed", "template_ended", "retention_run"}),
    "template renewed": (renew_template, {"engine_changed", "template_renewed"}),
    "template not renewed": (fail_to_renew_template, {"engine_changed", "template_not_renewed"}),
}
"""Acts of maintenance, of deliveries, and of another engine."""


def assert_has_leaves(case: EnrolledCase, act: Act, expected: set[str]) -> None:
    before = pending_acts(case.service.vault)
    act(case)
    after = pending_acts(case.service.vault)

    assert read_leaves(case.service.vault) == []
    assert set(before) < set(after), "earlier leaves stay pending"
    assert expected <= {after[leaf] for leaf in set(after) - set(before)}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_its_leaf(shared_case: EnrolledCase, name: str) -> None:
    assert_has_leaves(shared_case, *ACTS[name])


@pytest.mark.parametrize("name", LATER_ACTS)
def test_a_later_act_has_its_leaf(case: EnrolledCase, name: str) -> None:
    assert_has_leaves(case, *LATER_ACTS[name])


def test_reading_adds_no_leaf(shared_case: EnrolledCase) -> None:
    """Reads are counted, not logged."""
    case = shared_case
    before = pending_acts(case.service.vault)
    for path in ("/v1/me", "/v1/me/access", "/v1/me/export", "/v1/me/comparisons", "/v1/me/consents"):
        case.person("GET", path).raise_for_status()
    case.party("GET", "/v1/relying-party/subjects").raise_for_status()

    assert pending_acts(case.service.vault) == before


def test_repeating_an_act_adds_no_leaf(shared_case: EnrolledCase) -> None:
    restrict(shared_case)
    withdraw(shared_case)
    before = pending_acts(shared_case.service.vault)
    restrict(shared_case)
    withdraw(shared_case)

    assert pending_acts(shared_case.service.vault) == before


def test_a_restore_has_its_leaf(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
    make_backup(root, root.with_name("backup"))
    with open_stores(root) as vault:
        before = pending_acts(vault)
    restore(root, root.with_name("backup"))
    with open_stores(root) as vault:
        after, joined = pending_acts(vault), set(read_leaves(vault))

    assert [after[leaf] for leaf in set(after) - set(before)] == ["restored"]
    assert set(before) <= joined, "the pending leaves of the replaced data joined first"


def test_a_consent_that_a_restore_finds_expired_has_its_leaf(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
        then = service.clock() + timedelta(days=400)
    make_backup(root, root.with_name("backup"))
    restore(root, root.with_name("backup"), clock=lambda: then)
    with open_stores(root) as vault:
        found = pending_acts(vault).values()

    assert {"restored", "consent_expired"} <= set(found)


def test_a_new_log_has_entries_of_its_keys_and_notices(root: Path) -> None:
    with open_stores(root) as vault:
        found = sorted(pending_acts(vault).values())

    assert found == ["log_begun", "notice_published", "notice_published", "notice_published"] + ["signing_key_made"] * 3


def test_a_running_service_appends_leaves_when_a_batch_is_due(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), log_interval=600) as service:
        service.enrolled(face=1)
        service.clock.advance(seconds=600)
        wait_until(lambda: pending_leaves(service.vault) == set())
