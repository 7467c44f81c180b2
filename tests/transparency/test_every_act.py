"""Every act leaves a leaf that is of a record which names it: over HTTP, by a command, and by what time does."""

import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest

from app.callbacks.delivery_worker import DeliveryWorker
from app.callbacks.http_client import CallResult, Outcome
from app.callbacks.registration import set_callback
from app.jobs.maintenance import run_maintenance
from app.parties import service as parties
from app.transparency.log import signing_keys
from app.transparency.tables import KeyUse
from app.web.auth import token_digest
from tests.consent.drafts import draft, publish
from tests.enrolment.engine_change import BlindPool, look, supersede
from tests.support.launcher import run_command
from tests.support.service_fixture import SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.transparency.joined_leaves import logged, stores, waiting
from tests.transparency.pending_leaves import Case, unjoined
from tests.vault.operator import make_backup, restore

Act = Callable[[Case], object]


@pytest.fixture
def case(root: Path, pool: SharedPool) -> Iterator[Case]:
    with serving(root, pool, toy_card()) as service:
        yield Case(service, *service.enrolled(face=1))


def decided(case: Case, decision: str) -> None:
    case.service.consent(case.person, case.party, decision=decision)


def given(case: Case) -> None:
    case.service.consent(case.person, case.service.party("Gate"))


def given_on_a_new_notice(case: Case) -> None:
    publish(case.service.vault, draft(version=9), now=case.service.clock())
    decided(case, "given")


def withdrawn(case: Case) -> None:
    case.person("DELETE", case.address).raise_for_status()


def swept(case: Case, **later: float) -> None:
    """Let the service do what time asks for; its own sweep may be first."""
    case.service.clock.advance(**later)
    run_maintenance(case.service.vault, settings=case.service.settings, now=case.service.clock())


def proof_forgotten(case: Case) -> None:
    withdrawn(case)
    swept(case, days=4 * 365)


def enrolled(case: Case) -> None:
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1, variant=3)]).status_code == 201


def enrolment_deleted(case: Case) -> None:
    (one,) = case.person("GET", "/v1/me/enrolments").json()["items"]
    case.person("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}").raise_for_status()


def compared(case: Case) -> None:
    case.party.verify(case.consent["subject_ref"], toy_photo(1)).raise_for_status()


def compared_with_another(case: Case) -> None:
    assert case.party.verify(case.consent["subject_ref"], toy_photo(2)).json()["decision"] == "no_match"


def refused_to_a_party(case: Case) -> None:
    assert case.party.verify("nobody", toy_photo(1)).status_code == 404


def refused_to_a_person(case: Case) -> None:
    withdrawn(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 403


def restricted(case: Case) -> None:
    case.person("PUT", "/v1/me/restriction").raise_for_status()


def refused_while_restricted(case: Case) -> None:
    restricted(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 423


def lifted(case: Case) -> None:
    restricted(case)
    case.person("DELETE", "/v1/me/restriction").raise_for_status()


def disputed(case: Case) -> str:
    compared(case)
    (line,) = case.person("GET", "/v1/me/comparisons").json()["items"]
    address = f"/v1/me/comparisons/{line['comparison_id']}/dispute"
    case.person("PUT", address, json={"note": "not me"}).raise_for_status()
    return address


def dispute_lifted(case: Case) -> None:
    case.person("DELETE", disputed(case)).raise_for_status()


def refused_while_disputed(case: Case) -> None:
    disputed(case)
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)]).status_code == 423


def stopped(case: Case) -> None:
    """The last of the references that stop the party is the person's own."""
    for number in range(case.service.settings.failed_references - 1):
        case.party.verify(f"nobody {number}", toy_photo(1))
    compared_with_another(case)


def rectified(case: Case) -> None:
    case.person("PATCH", "/v1/me", json={"display_name": "Ada"}).raise_for_status()


def accessed(case: Case) -> None:
    case.person("GET", "/v1/me/access", params={"receipt": "true"}).raise_for_status()


def erased(case: Case) -> None:
    assert case.person("DELETE", "/v1/me").json()["status"] == "completed"


def notice_published(case: Case) -> None:
    publish(case.service.vault, draft(version=9), now=case.service.clock())


def party_added(case: Case) -> None:
    case.service.party("Gate")


def callback_set(case: Case) -> None:
    now = case.service.clock()
    set_callback(case.service.vault, party_id=UUID(case.party.id), to="https://127.0.0.1/", private=True, now=now)


def told(case: Case) -> None:
    callback_set(case)
    withdrawn(case)
    vault, answer = case.service.vault, CallResult(Outcome.ACKNOWLEDGED, "204")
    DeliveryWorker(vault, lambda _to, _body: answer, days=7, clock=case.service.clock).run_once(within_s=10)


def not_told(case: Case) -> None:
    callback_set(case)
    withdrawn(case)
    case.service.clock.advance(days=9)
    vault, answer = case.service.vault, CallResult(Outcome.UNREACHABLE, "ConnectError")
    DeliveryWorker(vault, lambda _to, _body: answer, days=7, clock=case.service.clock).run_once(within_s=10)


def party_rotated(case: Case) -> None:
    parties.rotate_key(case.service.vault, party_id=UUID(case.party.id), now=case.service.clock())


def party_revoked(case: Case) -> None:
    parties.revoke(case.service.vault, party_id=UUID(case.party.id), now=case.service.clock())


def party_described(case: Case) -> None:
    said = parties.PartyChanges(context="the entrance")
    parties.update_party(case.service.vault, party_id=UUID(case.party.id), changes=said, now=case.service.clock())


def replaced_key_ended(case: Case) -> None:
    now = case.service.clock()
    parties.rotate_key(case.service.vault, party_id=UUID(case.party.id), overlap=timedelta(hours=1), now=now)
    swept(case, hours=2)


def kek_rotated(case: Case) -> None:
    assert run_command(case.service.root, "keys", "rotate").returncode == 0


def signing_key_rotated(case: Case) -> None:
    signing_keys.rotate(case.service.vault, now=case.service.clock())


def signing_key_stolen(case: Case) -> None:
    now = case.service.clock()
    which = signing_keys.current_thumbprint(case.service.vault, KeyUse.RECEIPTS)
    signing_keys.mark_stolen(case.service.vault, which=which, stolen_at=now, now=now)


def renewed(case: Case) -> None:
    body = {"notice_sha256": case.consent["notice_sha256"]}
    case.person("POST", f"{case.address}/renewal", json=body).raise_for_status()


def history_shortened(case: Case) -> None:
    compared(case)
    tomorrow = case.service.clock().date() + timedelta(days=1)
    case.person("DELETE", "/v1/me/comparisons", params={"before": str(tomorrow)}).raise_for_status()


def token_left_unused(case: Case) -> None:
    case.person("POST", "/v1/me/tokens").raise_for_status()
    with case.service.vault.data.write() as session:
        session.connection().exec_driver_sql(
            "UPDATE tokens SET last_used_on = '2020-01-01' WHERE kind = 'access' AND digest != ?",
            (token_digest(case.person.token),),
        )
    swept(case)


def access_count_forgotten(case: Case) -> None:
    case.person("GET", "/v1/me/access").raise_for_status()
    swept(case, days=500)


def erasure_forgotten(case: Case) -> None:
    erased(case)
    swept(case, days=4 * 365)


def engine_changed(case: Case) -> None:
    supersede(case.service)


def template_ended(case: Case) -> None:
    supersede(case.service)
    swept(case, days=91)


def keeping_photos(case: Case) -> None:
    case.service.consent(case.person, None, purpose="template_renewal")
    answer = enrol(case.person, [case.consent["consent_id"]], [toy_photo(1)], keep_photos="true")
    assert answer.status_code == 201
    supersede(case.service)


def template_renewed(case: Case) -> None:
    keeping_photos(case)
    assert look(case.service).renewed == 1


def template_not_renewed(case: Case) -> None:
    keeping_photos(case)
    assert look(case.service, pool=BlindPool()).have_to_enrol_again == 1


ACTS: dict[str, tuple[Act, set[str]]] = {
    "consent given": (given, {"consent_given"}),
    "consent given on a new notice": (given_on_a_new_notice, {"consent_withdrawn", "consent_given"}),
    "consent refused": (lambda case: decided(case, "refused"), {"consent_withdrawn", "consent_refused"}),
    "consent withdrawn": (withdrawn, {"consent_withdrawn"}),
    "consent expired": (lambda case: swept(case, days=400), {"consent_expired"}),
    "enrolment": (enrolled, {"enrolment"}),
    "its deletion": (enrolment_deleted, {"enrolment_deleted"}),
    "comparison": (compared, {"comparison"}),
    "comparison that does not match": (compared_with_another, {"comparison"}),
    "refusal to a relying party": (refused_to_a_party, {"refusal"}),
    "refusal to a person": (refused_to_a_person, {"refusal"}),
    "refusal while restricted": (refused_while_restricted, {"refusal"}),
    "restriction": (restricted, {"restriction"}),
    "lift": (lifted, {"restriction_lifted"}),
    "dispute": (disputed, {"dispute"}),
    "its lift": (dispute_lifted, {"dispute_lifted"}),
    "refusal while disputed": (refused_while_disputed, {"refusal"}),
    "sweep stopped": (stopped, {"sweep_stopped", "sweep_touched"}),
    "rectification": (rectified, {"rectification"}),
    "access, with a receipt": (accessed, {"access"}),
    "erasure": (erased, {"erasure"}),
    "notice published": (notice_published, {"notice_published"}),
    "relying party added": (party_added, {"relying_party_added"}),
    "its callback set": (callback_set, {"relying_party_callback"}),
    "relying party told": (told, {"relying_party_callback", "consent_withdrawn", "delivery"}),
    "relying party not told for days": (not_told, {"consent_withdrawn", "delivery"}),
    "its key rotated": (party_rotated, {"relying_party_key_rotated"}),
    "relying party revoked": (party_revoked, {"relying_party_revoked"}),
    "relying party described": (party_described, {"relying_party_described"}),
    "its replaced key ended": (replaced_key_ended, {"relying_party_key_rotated", "relying_party_key_ended"}),
    "key-encryption key rotated": (kek_rotated, {"key_encryption_key_rotated"}),
    "signing key rotated": (signing_key_rotated, {"signing_key_retired", "signing_key_made"}),
    "signing key stolen": (signing_key_stolen, {"signing_key_stolen"}),
    "retention run": (proof_forgotten, {"retention_run"}),
    "retention run over access counts": (access_count_forgotten, {"retention_run"}),
    "retention run over erasures": (erasure_forgotten, {"retention_run"}),
    "unused token ended": (token_left_unused, {"token_unused", "retention_run"}),
    "consent renewed": (renewed, {"consent_given"}),
    "engine changed": (engine_changed, {"engine_changed"}),
    "template of an older engine ended": (template_ended, {"engine_changed", "template_ended", "retention_run"}),
    "template renewed": (template_renewed, {"engine_changed", "template_renewed"}),
    "template not renewed": (template_not_renewed, {"engine_changed", "template_not_renewed"}),
    "history shortened": (history_shortened, {"history_shortened"}),
}


@pytest.mark.parametrize("name", ACTS)
def test_an_act_has_its_leaf(case: Case, name: str) -> None:
    act, expected = ACTS[name]
    before = unjoined(case.service.vault)
    act(case)
    after = unjoined(case.service.vault)

    assert logged(case.service.vault) == []
    assert set(before) < set(after), "a leaf that waits does not go"
    assert expected <= {after[leaf] for leaf in set(after) - set(before)}


def test_what_is_only_read_leaves_none(case: Case) -> None:
    """Reads are counted, not logged."""
    before = unjoined(case.service.vault)
    for path in ("/v1/me", "/v1/me/access", "/v1/me/export", "/v1/me/comparisons", "/v1/me/consents"):
        case.person("GET", path).raise_for_status()
    case.party("GET", "/v1/relying-party/subjects").raise_for_status()

    assert unjoined(case.service.vault) == before


def test_repeating_what_is_so_already_leaves_none(case: Case) -> None:
    restricted(case)
    withdrawn(case)
    before = unjoined(case.service.vault)
    restricted(case)
    withdrawn(case)

    assert unjoined(case.service.vault) == before


def test_a_restore_has_its_leaf(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
    make_backup(root, root.with_name("backup"))
    with stores(root) as vault:
        before = unjoined(vault)
    restore(root, root.with_name("backup"))
    with stores(root) as vault:
        after, joined = unjoined(vault), set(logged(vault))

    assert [after[leaf] for leaf in set(after) - set(before)] == ["restored"]
    assert set(before) <= joined, "what waited in the data that was replaced"


def test_what_expired_while_nobody_served_has_its_leaf_after_a_restore(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card()) as service:
        service.enrolled(face=1)
        then = service.clock() + timedelta(days=400)
    make_backup(root, root.with_name("backup"))
    restore(root, root.with_name("backup"), clock=lambda: then)
    with stores(root) as vault:
        found = unjoined(vault).values()

    assert {"restored", "consent_expired"} <= set(found)


def test_a_new_service_begins_its_log_with_what_it_made(root: Path) -> None:
    with stores(root) as vault:
        found = sorted(unjoined(vault).values())

    assert found == ["log_begun", "notice_published", "notice_published", "notice_published"] + ["signing_key_made"] * 3


def test_a_running_service_appends_leaves_when_a_batch_is_due(root: Path, pool: SharedPool) -> None:
    with serving(root, pool, toy_card(), log_interval=600) as service:
        service.enrolled(face=1)
        service.clock.advance(seconds=600)
        until = time.monotonic() + 120
        while waiting(service.vault) and time.monotonic() < until:
            time.sleep(0.05)

        assert waiting(service.vault) == set()
