"""Everything that ended since a backup stays ended after `mien restore`: over HTTP, and in every byte."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from app.parties import service as parties
from app.transparency.log import entries
from tests.support.byte_scan import Needles, files_under, live_keys, openable, rows
from tests.support.service_fixture import MovableClock, Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo
from tests.vault.operator import DATA, make_backup, restore


@dataclass
class Case:
    """An enrolled subject, and the secrets of the subject and the relying party."""

    person: Person
    party: Party
    consent: dict[str, Any]
    clock: MovableClock

    def at(self, service: RunningService) -> "Case":
        """Return the same people, calling *service*."""
        person = Person(service.client, self.person.subject_id, self.person.token, self.person.recovery_code)
        return Case(person, Party(service.client, self.party.id, self.party.key), self.consent, self.clock)

    def verified(self) -> int:
        """Return the answer to a verification by the relying party."""
        return self.party.verify(self.consent["subject_ref"], toy_photo(1)).status_code

    def states(self) -> list[str]:
        """Return the states of the subject's decisions, the newest first."""
        return [one["state"] for one in self.person("GET", "/v1/me/consents").json()["items"]]


def withdraw(case: Case, _house: RunningService) -> None:
    case.person("DELETE", f"/v1/me/consents/{case.consent['consent_id']}").raise_for_status()


def erase(case: Case, _house: RunningService) -> None:
    assert case.person("DELETE", "/v1/me").json()["status"] == "completed"


def time_passes(case: Case, _house: RunningService) -> None:
    case.clock.advance(days=400)


def refuse(case: Case, service: RunningService) -> None:
    asked = {"purpose": "verification", "relying_party_id": case.party.id}
    body = {**asked, "decision": "refused", "notice_sha256": service.notice("verification")}
    case.person("POST", "/v1/me/consents", json=body).raise_for_status()


def revoke_token(case: Case, _house: RunningService) -> None:
    (token,) = case.person("GET", "/v1/me/tokens").json()["items"]
    case.person("DELETE", f"/v1/me/tokens/{token['token_id']}").raise_for_status()


def recover(case: Case, service: RunningService) -> None:
    code = {"recovery_code": case.person.recovery_code}
    service.client.post("/v1/recoveries", json=code).raise_for_status()


def rotate(case: Case, service: RunningService) -> None:
    parties.rotate_key(service.vault, party_id=UUID(case.party.id), settings=service.settings, now=case.clock())


def revoke(case: Case, service: RunningService) -> None:
    parties.revoke(service.vault, party_id=UUID(case.party.id), now=case.clock())


def restrict(case: Case, _house: RunningService) -> None:
    case.person("PUT", "/v1/me/restriction").raise_for_status()


def enrol_again(case: Case, _house: RunningService) -> None:
    assert enrol(case.person, [case.consent["consent_id"]], [toy_photo(2)]).status_code == 201


SHORT = 200
"""Bytes. Longer values are spread over several pages, and are searched piece by piece."""
TEMPLATE = "SELECT 'template', id FROM templates", "SELECT 'sealed template', sealed FROM templates"
GRANT = "SELECT 'grant', id FROM grants", "SELECT 'reference', subject_ref FROM grants"
ACCOUNT = (
    "SELECT 'person', id FROM subjects",
    "SELECT 'name', sealed_name FROM subjects",
    "SELECT 'spell', spell_id FROM subjects",
    "SELECT 'event', id FROM consent_events",
    "SELECT 'sealed event', sealed FROM consent_events",
    "SELECT 'receipt', id FROM receipts",
    "SELECT 'sealed receipt', sealed FROM receipts",
    "SELECT 'entry', id FROM entries",
    "SELECT 'sealed entry', sealed FROM entries",
)
TOKENS = "SELECT 'token ' || kind, id FROM tokens", "SELECT 'token digest ' || kind, digest FROM tokens"
ACCESS_TOKEN = tuple(query + " WHERE kind = 'access'" for query in TOKENS)
PARTY_KEY = "SELECT 'key', id FROM party_keys", "SELECT 'key digest', digest FROM party_keys"


def needles(database: Path, queries: tuple[str, ...]) -> Needles:
    """Return the values that must be gone, read from a backup that still has them."""
    found = Needles()
    for query in queries:
        for name, value in rows(database, query):
            if isinstance(value, bytes) and len(value) > SHORT:
                found.photo(name, value)
            elif isinstance(value, bytes):
                found.raw(name, value)
            else:
                found.text(name, value)
                if len(value) == 32:
                    found.id(name, value)
    assert found.spellings
    return found


Way = Callable[[Case, RunningService], None]
WAYS: list[tuple[Way, tuple[str, ...], Callable[[Case], object], object]] = [
    (withdraw, TEMPLATE + GRANT, lambda case: (case.verified(), case.states()), (404, ["withdrawn", "given"])),
    (refuse, TEMPLATE + GRANT, lambda case: (case.verified(), case.states()), (404, ["withdrawn", "given"])),
    (time_passes, TEMPLATE + GRANT, lambda case: (case.verified(), case.states()), (404, ["expired", "given"])),
    (
        erase,
        TEMPLATE + GRANT + ACCOUNT + TOKENS,
        lambda case: (case.verified(), case.person("GET", "/v1/me").status_code),
        (404, 401),
    ),
    (enrol_again, TEMPLATE, lambda case: (case.verified(), case.states()), (404, ["given"])),
    (revoke_token, ACCESS_TOKEN, lambda case: (case.verified(), case.person("GET", "/v1/me").status_code), (200, 401)),
    (recover, TOKENS, lambda case: (case.verified(), case.person("GET", "/v1/me").status_code), (200, 401)),
    (rotate, PARTY_KEY, Case.verified, 401),
    (
        revoke,
        PARTY_KEY,
        lambda case: (case.verified(), case.person.client.get("/v1/relying-parties").json()["items"]),
        (401, []),
    ),
    (
        restrict,
        ("SELECT 'spell', spell_id FROM subjects",),
        lambda case: (case.verified(), case.person("GET", "/v1/me").json()["restricted"]),
        (404, True),
    ),
]


@pytest.mark.parametrize("lost", [False, True], ids=["", "the data was lost"])
@pytest.mark.parametrize(("way", "gone", "ask", "answer"), WAYS, ids=lambda value: getattr(value, "__name__", ""))
def test_ended_consents_and_subjects_stay_ended(
    root: Path,
    pool: SharedPool,
    tmp_path: Path,
    way: Way,
    gone: tuple[str, ...],
    ask: Callable[[Case], object],
    answer: object,
    lost: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    backup, clock = tmp_path / "backup", MovableClock()
    with serving(root, pool, toy_card(), clock=clock) as service:
        case = Case(*service.enrolled(face=1), clock)
        assert case.verified() == 200
        make_backup(root, backup)
        looked_for = needles(backup / "mien.db", gone)
        way(case, service)
    if lost:
        for file in (root / "data").iterdir():
            file.unlink()

    done = restore(root, backup, clock=clock)

    assert set(looked_for.spellings) == {one.split(" in ")[0] for one in looked_for.found(files_under(backup))}
    assert looked_for.found(files_under(root)) == [], "before the service starts"
    assert (done.purged > 0) != (done.expired > 0)
    with serving(root, pool, toy_card(), clock=clock) as service:
        assert ask(case.at(service)) == answer
        assert looked_for.found(files_under(root)) == []
        # A subject who did not end is there, and can enrol again.
        newcomer, party, consent = service.enrolled(face=3, party=service.party("Gate"))
        assert (
            Party(service.client, party.id, party.key).verify(consent["subject_ref"], toy_photo(3)).status_code == 200
        )
        assert newcomer("DELETE", "/v1/me").json()["status"] == "completed"


def test_consents_in_force_are_restored_unchanged(root: Path, pool: SharedPool, tmp_path: Path) -> None:
    with serving(root, pool, toy_card()) as service:
        case = Case(*service.enrolled(face=1), service.clock)
        assert case.verified() == 200
        export = case.person("GET", "/v1/me/access").json()
        make_backup(root, tmp_path / "backup")
        before = {table: rows(root / DATA, f"SELECT * FROM {table}") for table in KEPT}  # noqa: S608 - names of our own
        service.enrolled(face=2, party=case.party)

    done = restore(root, tmp_path / "backup")

    assert {table: rows(root / DATA, f"SELECT * FROM {table}") for table in KEPT} == before  # noqa: S608 - as above
    assert (done.purged, done.expired, done.replaced_data_was_read) == (0, 0, True)
    locks = ["lock", *(f"{name}.lock" for name in ("batch", "callbacks", "renewal", "service", "start", "sweep"))]
    assert sorted(path.name for path in (root / "data").iterdir()) == sorted(
        [*locks, "last-backup", "mien.ballast", "mien.db"]
    )
    # A name, a template, a consent and its receipt, a comparison, and the entries of enrolling and of that.
    assert len(openable(root / DATA, live_keys(root))) == 7
    with serving(root, pool, toy_card()) as service:
        again = case.at(service)
        assert (again.verified(), again.states()) == (200, ["given"])
        assert export.keys() == again.person("GET", "/v1/me/access").json().keys()


KEPT = (
    "subjects",
    "tokens",
    "grants",
    "templates",
    "consent_events",
    "receipts",
    "comparisons",
    "entries",
    "party_keys",
    "consent_proofs",
)


def test_the_proof_of_a_consent_has_the_day_of_its_end(root: Path, pool: SharedPool, tmp_path: Path) -> None:
    with serving(root, pool, toy_card()) as service:
        case = Case(*service.enrolled(face=1), service.clock)
        make_backup(root, tmp_path / "backup")
        erase(case, service)
        today = service.clock().date().isoformat()

    restore(root, tmp_path / "backup")

    assert rows(tmp_path / "backup" / "mien.db", "SELECT ended_on FROM consent_proofs") == [(None,)]
    assert rows(root / DATA, "SELECT ended_on FROM consent_proofs") == [(today,)]


def test_an_erasure_in_progress_when_the_backup_was_made_is_completed(
    root: Path, pool: SharedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(root, pool, toy_card()) as service:
        case = Case(*service.enrolled(face=1), service.clock)
        with monkeypatch.context() as failing:
            failing.setattr(service.vault.data, "checkpoint", lambda: False)
            erasure = case.person("DELETE", "/v1/me").json()
            make_backup(root, tmp_path / "backup")
    steps = rows(tmp_path / "backup" / "mien.db", "SELECT step FROM erasures")

    restore(root, tmp_path / "backup")

    assert (erasure["status"], steps) == ("in_progress", [("deleted",)])
    assert rows(root / DATA, "SELECT step, subject_id FROM erasures") == [("completed", None)]


@pytest.mark.parametrize("begun", [True, False], ids=["before the backup", "since the backup"])
def test_an_erasure_that_has_only_begun_completes_before_the_restore(
    root: Path, pool: SharedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, begun: bool
) -> None:
    """Only the replaced data knows of it; the register does not yet."""
    with serving(root, pool, toy_card()) as service:
        case = Case(*service.enrolled(face=1), service.clock)
        if not begun:
            make_backup(root, tmp_path / "backup")
        with monkeypatch.context() as failing:
            failing.setattr(service.vault.register, "end", _fail)
            case.person("DELETE", "/v1/me")
        waiting = rows(root / DATA, "SELECT step FROM erasures")
        if begun:
            make_backup(root, tmp_path / "backup")
    looked_for = needles(tmp_path / "backup" / "mien.db", TEMPLATE + GRANT + ACCOUNT + TOKENS)

    restore(root, tmp_path / "backup")

    assert waiting == [("intent",)]
    assert looked_for.found(files_under(root)) == []
    with serving(root, pool, toy_card()) as service:
        assert (case.at(service).verified(), case.at(service).person("GET", "/v1/me").status_code) == (404, 401)


def test_an_erasure_that_a_restore_completes_is_in_the_transparency_log(
    root: Path, pool: SharedPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its leaf is pending in the replaced data only."""
    with serving(root, pool, toy_card()) as service:
        case = Case(*service.enrolled(face=1), service.clock)
        make_backup(root, tmp_path / "backup")
        with monkeypatch.context() as failing:
            failing.setattr(service.vault.register, "end", _fail)
            case.person("DELETE", "/v1/me")
    waiting: list[bytes] = []
    pend = entries.add_pending_leaf

    def noticed(session: Session, leaf: bytes) -> None:
        waiting.append(leaf)
        pend(session, leaf)

    monkeypatch.setattr(entries, "add_pending_leaf", noticed)

    restore(root, tmp_path / "backup")

    assert len(waiting) == 1
    assert rows(root / "keys" / "register.db", "SELECT count(*) FROM log_leaves WHERE leaf = ?", *waiting) == [(1,)]


def _fail(*_given: object, **_named: object) -> None:
    raise OSError("no register")
