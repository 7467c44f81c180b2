"""Law 9 across endpoints: all that a relying party observes, for each reason why it may not use a reference.

Scripts run side by side in one service and differ only in the reason. The observations of their relying parties are
compared: answers, list and callbacks, with each reference replaced by its number. See `docs/explanation/law-9.md`.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from app.jobs.deliver_callbacks import deliver_once
from app.jobs.maintenance import run_maintenance
from tests.consent.spies import change_row
from tests.laws.test_law_09_one_answer import BOTH, as_sent
from tests.parties.receivers import Receiver, run_receiver, set_url
from tests.support.changed_schema import without_trigger
from tests.support.service_fixture import Party, Person, RunningService, SharedPool, enrol, serving
from tests.support.toy_engine import toy_card
from tests.support.toy_faces import toy_photo

FACE, BYSTANDER = 1, 2
Observation = tuple[Any, ...]


@dataclass
class Script:
    """One person at one relying party, and the names that it knows references by."""

    service: RunningService
    party: Party
    receiver: Receiver
    person: Person
    consents: list[dict[str, Any]]
    names: dict[str, str] = field(default_factory=dict)
    seen: int = 0

    def enrol(self, face: int = FACE) -> None:
        """Enrol the person for every consent."""
        answer = enrol(self.person, [one["consent_id"] for one in self.consents], [toy_photo(face)])
        assert answer.status_code == 201, answer.text

    def consent(self) -> None:
        """Consent again, and enrol."""
        self.consents = [self.service.consent(self.person, self.party, one["purpose"]) for one in self.consents]
        self.enrol()

    def ask(self, method: str, path: str) -> None:
        """Send a request of the person."""
        answer = self.person(method, path)
        assert answer.status_code == 200, answer.text

    def observe(self) -> Observation:
        """Return all that the relying party sees now: the answer to its reference, its list, and new messages."""
        messages = [
            (one["event"], one["purpose"], self.name(one["subject_ref"])) for one in self.receiver.messages[self.seen :]
        ]
        self.seen = len(self.receiver.messages)
        reference = next(ref for ref, name in self.names.items() if name == "first")
        status, content, headers = as_sent(self.party.verify(reference, toy_photo(FACE)))
        listed = self.party("GET", "/v1/relying-party/subjects").json()["items"]
        items = sorted((self.name(one["subject_ref"]), one["purposes"]) for one in listed)
        answer = (status, headers, content) if status != 200 else (status, b"match" in content)
        return answer, items, sorted(messages)

    def name(self, reference: str) -> str:
        """Return the name of a reference: the order in which the relying party learnt it."""
        return self.names.setdefault(reference, ["bystander", "first", "second", "third"][len(self.names)])


Act = Callable[[Script], object]


def restrict(script: Script) -> None:
    script.ask("PUT", "/v1/me/restriction")


def lift(script: Script) -> None:
    script.ask("DELETE", "/v1/me/restriction")


def withdraw(script: Script) -> None:
    for one in script.consents:
        script.ask("DELETE", f"/v1/me/consents/{one['consent_id']}")


def erase(script: Script) -> None:
    script.ask("DELETE", "/v1/me")


def refuse(script: Script) -> None:
    for one in script.consents:
        script.service.consent(script.person, script.party, one["purpose"], decision="refused")


def delete_enrolment(script: Script) -> None:
    for one in script.person("GET", "/v1/me/enrolments").json()["items"]:
        script.ask("DELETE", f"/v1/me/enrolments/{one['enrolment_id']}")


def dispute(script: Script) -> None:
    comparison = script.person("GET", "/v1/me/comparisons").json()["items"][0]["comparison_id"]
    script.ask("PUT", f"/v1/me/comparisons/{comparison}/dispute")


def lift_dispute(script: Script) -> None:
    comparison = script.person("GET", "/v1/me/comparisons").json()["items"][0]["comparison_id"]
    script.ask("DELETE", f"/v1/me/comparisons/{comparison}/dispute")


def replace_engine(script: Script) -> None:
    """Let the templates be of another engine, as after a change of `MIEN_ENGINE`."""
    vault, subject = script.service.vault, UUID(script.person.subject_id).hex
    with without_trigger(vault.data, "templates_are_never_relabelled"):
        change_row(
            vault,
            f"UPDATE templates SET weights_sha256 = '{0:064}' WHERE subject_id = :subject",  # noqa: S608 - digits
            subject=subject,
        )


def do_nothing(_script: Script) -> None:
    """Let time pass."""


def come_back(script: Script) -> None:
    """Consent again; a subject who was erased registers first."""
    if script.person("GET", "/v1/me").status_code == 401:
        script.person = script.service.person()
    if script.person("GET", "/v1/me").json()["restricted"]:
        lift(script)
    script.consent()


def both(*acts: Act) -> Act:
    """Return an act of several acts."""

    def do(script: Script) -> None:
        for act in acts:
            act(script)

    return do


NEVER = "never enrolled"
NOT_NOW: Mapping[str, tuple[Act, Act]] = {
    NEVER: (do_nothing, Script.enrol),
    "enrolment deleted": (delete_enrolment, Script.enrol),
    "restricted": (restrict, lift),
    "restricted, and enrolment deleted": (both(restrict, delete_enrolment), both(lift, Script.enrol)),
    "disputed": (dispute, lift_dispute),
    "template of another engine": (replace_engine, Script.enrol),
}
"""By the reason: the act that brings it about, and the act that ends it."""
ENDED: Mapping[str, tuple[Act, Act]] = {
    "withdrawn": (withdraw, come_back),
    "refused": (refuse, come_back),
    "expired": (do_nothing, come_back),
    "erased": (erase, come_back),
    "withdrawn while restricted": (both(restrict, withdraw), come_back),
    "expired while restricted": (restrict, come_back),
    "erased while restricted": (both(restrict, erase), come_back),
    "erased while disputed": (both(dispute, erase), come_back),
    "withdrawn without an enrolment": (both(delete_enrolment, withdraw), come_back),
    "erased with a template of another engine": (both(replace_engine, erase), come_back),
}


def begin(service: RunningService, receiver: Receiver, reason: str, purposes: tuple[str, ...]) -> Script:
    """Let a bystander and the person consent to a new relying party and enrol."""
    party = service.party(reason, *BOTH)
    set_url(service, party, receiver.url)
    script = Script(service, party, receiver, service.person(), [])
    script.name(service.enrolled(BYSTANDER, party=party)[2]["subject_ref"])
    limit = {"valid_until": (service.clock() + timedelta(hours=1)).isoformat()} if reason.startswith("expired") else {}
    script.consents = [service.consent(script.person, party, purpose, **limit) for purpose in purposes]
    script.name(script.consents[0]["subject_ref"])
    if reason != NEVER:
        script.enrol()
    return script


def deliver(service: RunningService) -> None:
    deliver_once(service.settings, service.vault, within_s=60)


def observe_all(
    root: Path, pool: SharedPool, reasons: Mapping[str, tuple[Act, Act]], purposes: tuple[str, ...]
) -> dict[str, list[Observation]]:
    """Return what each relying party observes before its reason, while it holds, and after its end."""
    with serving(root, pool, toy_card(), background=False, callback_private=True) as service, ExitStack() as running:
        scripts = {
            reason: begin(service, running.enter_context(run_receiver()), reason, purposes) for reason in reasons
        }
        observed: dict[str, list[Observation]] = {reason: [] for reason in reasons}
        for number in range(3):
            for reason, script in scripts.items():
                if number:
                    reasons[reason][number - 1](script)
            if number == 1:
                service.clock.advance(hours=2)
            run_maintenance(service.vault, settings=service.settings, now=service.clock())
            deliver(service)
            for reason, script in scripts.items():
                observed[reason].append(script.observe())
    return observed


@pytest.mark.parametrize("purposes", [("verification",), ("identification", "verification")])
@pytest.mark.parametrize("reasons", [NOT_NOW, ENDED], ids=["not usable now", "ended"])
def test_reasons_of_one_class_are_one_observation(
    root: Path, pool: SharedPool, reasons: Mapping[str, tuple[Act, Act]], purposes: tuple[str, ...]
) -> None:
    observed = observe_all(root, pool, reasons, purposes)
    if NEVER in observed:
        # Only the time before the reason differs.
        observed[NEVER][0] = observed["restricted"][0]
    first = next(iter(observed.values()))
    before, during, after = first

    assert {reason: seen for reason, seen in observed.items() if seen != first} == {}
    assert before[0] == (200, True)
    assert during[0][0] == 404
    listed = [name for name, _ in during[1]]
    if reasons is NOT_NOW:
        assert (listed, during[2]) == (["bystander", "first"], []), "listed, and no message"
        assert (after[0], after[1]) == (before[0], before[1]), "the same reference works again"
    else:
        assert listed == ["bystander"]
        assert during[2] == [("ended", purpose, "first") for purpose in purposes]
        assert (after[0], [name for name, _ in after[1]]) == (during[0], ["bystander", "second"]), "a new reference"
        assert after[2] == [("given", purpose, "second") for purpose in purposes]


def test_list_is_the_same_bytes_while_a_reference_is_not_usable(root: Path, pool: SharedPool) -> None:
    """The order, the pages and the cursors tell nothing, and a returning reference keeps its place."""
    with serving(root, pool, toy_card(), background=False) as service:
        door = service.party()
        people = [service.enrolled(FACE, party=door)[0] for _ in range(5)]

        def pages() -> list[tuple[int, bytes, tuple[tuple[str, str], ...]]]:
            found, after = [], None
            while True:
                where = {"limit": 2} if after is None else {"limit": 2, "after": after}
                answer = door("GET", "/v1/relying-party/subjects", params=where)
                found.append(as_sent(answer))
                if (after := answer.json()["next"]) is None:
                    return found

        before = pages()
        for person in people[:3]:
            assert person("PUT", "/v1/me/restriction").status_code == 200
        during = pages()
        for person in people[:3]:
            assert person("DELETE", "/v1/me/restriction").status_code == 200

        assert before == during == pages()
        assert len(before) == 3
