"""A service whose engine changes, from the toy engine to another one that finds the same faces."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.faces.cards.card import Card
from app.faces.flaws import Flaw
from app.faces.permit import Permit
from app.faces.service import RunningEngine
from app.faces.workers.messages import Measurement
from app.templates import engine_history, renewal
from app.transparency.log.entries import LoggedAct
from tests.support.byte_scan import rows
from tests.support.launcher import Program
from tests.support.service_fixture import MovableClock, Party, Person, RunningService, ToyPool, enrol, serving
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import OtherToyEngine, other_toy_card
from tests.support.toy_faces import toy_photo

NEVER_S = 1e6
"""Seconds between two maintenance runs: the tests start their own."""


def other_pool() -> ToyPool:
    """Return a pool of the other engine."""
    return ToyPool(OtherToyEngine(other_toy_card().digests))


class FlawPool(ToyPool):
    """An engine that finds a flaw in every photo."""

    def __init__(self, flaw: Flaw = Flaw.NO_FACE) -> None:
        super().__init__()
        self._flaw = flaw

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Return the flaw for each photo."""
        assert permit.grant_ids
        return [self._flaw for _ in images]


@contextmanager
def served(root: Path, card: Card, *, clock: MovableClock, **more: Any) -> Iterator[RunningService]:
    """Serve with the engine of *card*: the toy engine or the other one."""
    pool = ToyPool() if card.id == "toy" else other_pool()
    with serving(root, pool, card, clock=clock, **{"sweep_interval_s": NEVER_S, **more}) as service:
        yield service


@dataclass
class EnrolledSubject:
    """A subject who enrolled before the change, with kept photos if they consented to that."""

    person: Person
    party: Party
    consent: dict[str, Any]
    renewal: dict[str, Any] | None

    def at(self, service: RunningService | Program) -> "EnrolledSubject":
        """Return the same subject at another service on the same data."""
        client = service.client
        return replace(self, person=replace(self.person, client=client), party=replace(self.party, client=client))

    @property
    def consent_id(self) -> str:
        """The consent of the template."""
        return str(self.consent["consent_id"])

    def template(self) -> dict[str, Any]:
        """Return the subject's only template, as the service lists it."""
        enrolments = self.person("GET", "/v1/me/enrolments").json()["items"]
        (template,) = [one for enrolment in enrolments for one in enrolment["templates"]]
        found: dict[str, Any] = template
        return found

    def verify(self, face: int = 1) -> Any:
        """Return the decision on a photo, or the status of the refusal."""
        answer = self.party.verify(self.consent["subject_ref"], toy_photo(face, variant=1))
        return answer.json().get("decision", answer.status_code)


def enrol_subject(
    service: RunningService, *, keep_photos: bool, party: Party | None = None, face: int = 1
) -> EnrolledSubject:
    """Register a subject and enrol them for a relying party."""
    person, party = service.person(), party or service.party()
    consent = service.consent(person, party)
    renewal_consent = service.consent(person, None, purpose="template_renewal") if keep_photos else None
    photos = [toy_photo(face), toy_photo(face, variant=2)]
    fields = {"keep_photos": "true"} if keep_photos else {}
    assert enrol(person, [consent["consent_id"]], photos, **fields).status_code == 201
    return EnrolledSubject(person, party, consent, renewal_consent)


def supersede(service: RunningService, card: Card | None = None, *, days: int = 90) -> None:
    """Put another engine in force, as the next start would, while this service runs."""
    engine_history.put_in_force(service.vault, card or other_toy_card(), days=days, now=service.clock())


def run_renewal(service: RunningService, *, pool: ToyPool | None = None, **more: Any) -> renewal.RenewalCounts:
    """Renew the templates with the other engine."""
    card = other_toy_card()
    engine = RunningEngine(pool=pool or other_pool(), card=card, target_fmr=1e-3, threshold=0.54)
    return renewal.renew_templates(renewal.RenewalRun(vault=service.vault, engine=engine, clock=service.clock, **more))


def entries_of(person: Person, *acts: LoggedAct) -> list[dict[str, Any]]:
    """Return the records of the subject's entries of these acts."""
    entries = person("GET", "/v1/me/access").json()["data"]["entries"]
    return [one["content"]["record"] for one in entries if one["content"]["record"]["act"] in acts]


def pending_records(service: RunningService, act: LoggedAct) -> list[dict[str, Any]]:
    """Return the open records of this act that wait for the transparency log."""
    pending = rows(in_file(service.vault.data).path, "SELECT record FROM pending_leaves WHERE record IS NOT NULL")
    found: list[dict[str, Any]] = [json.loads(record) for (record,) in pending]
    return [one for one in found if one["act"] == act]
