"""A service whose engine is changed: before, with the toy; after, with another that sees the same faces."""

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
from tests.support.toy_engine import OtherToyEngine, other_toy_card
from tests.support.toy_faces import toy_photo

SELDOM = 1e6
"""Seconds between two sweeps: what a test wants swept or renewed, it asks for."""


def other_pool() -> ToyPool:
    """Return a pool of the other engine."""
    return ToyPool(OtherToyEngine(other_toy_card().digests))


class BlindPool(ToyPool):
    """An engine that finds fault with every photo."""

    def __init__(self, code: Flaw = Flaw.NO_FACE) -> None:
        super().__init__()
        self._code = code

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        """Look at none of them."""
        assert permit.grant_ids
        return [self._code for _ in images]


@contextmanager
def served(root: Path, card: Card, *, clock: MovableClock, **more: Any) -> Iterator[RunningService]:
    """Serve with the toy, or with the other one, as the card says."""
    pool = ToyPool() if card.id == "toy" else other_pool()
    with serving(root, pool, card, clock=clock, **{"sweep_interval_s": SELDOM, **more}) as service:
        yield service


@dataclass
class Ada:
    """Somebody who was enrolled before, and keeps photos if she agreed to that."""

    person: Person
    party: Party
    consent: dict[str, Any]
    renewal: dict[str, Any] | None

    def at(self, service: RunningService | Program) -> "Ada":
        """Return the same at another service on the same data."""
        client = service.client
        return replace(self, person=replace(self.person, client=client), party=replace(self.party, client=client))

    @property
    def consent_id(self) -> str:
        """The consent that her template is for."""
        return str(self.consent["consent_id"])

    def template(self) -> dict[str, Any]:
        """Return what she is told of her one template."""
        enrolments = self.person("GET", "/v1/me/enrolments").json()["items"]
        (template,) = [one for enrolment in enrolments for one in enrolment["templates"]]
        found: dict[str, Any] = template
        return found

    def verified(self, face: int = 1) -> Any:
        """Return the decision on a photo, or the status of the refusal."""
        answer = self.party.verify(self.consent["subject_ref"], toy_photo(face, variant=1))
        return answer.json().get("decision", answer.status_code)


def ada(service: RunningService, *, keeps: bool, party: Party | None = None, face: int = 1) -> Ada:
    """Let somebody enrol for a door."""
    person, party = service.person(), party or service.party()
    consent = service.consent(person, party)
    renewal_consent = service.consent(person, None, purpose="template_renewal") if keeps else None
    photos = [toy_photo(face), toy_photo(face, variant=2)]
    more = {"keep_photos": "true"} if keeps else {}
    assert enrol(person, [consent["consent_id"]], photos, **more).status_code == 201
    return Ada(person, party, consent, renewal_consent)


def supersede(service: RunningService, card: Card | None = None, *, days: int = 90) -> None:
    """Put another engine in force, as the next start would, while this service goes on."""
    engine_history.put_in_force(service.vault, card or other_toy_card(), days=days, now=service.clock())


def look(service: RunningService, *, pool: ToyPool | None = None, **more: Any) -> renewal.RenewalCounts:
    """Look for templates to be renewed with the other engine."""
    card = other_toy_card()
    faces = RunningEngine(pool=pool or other_pool(), card=card, target_fmr=1e-3, threshold=0.54)
    return renewal.renew_templates(renewal.RenewalRun(vault=service.vault, engine=faces, clock=service.clock, **more))


def acts(person: Person, *which: LoggedAct) -> list[dict[str, Any]]:
    """Return the person's entries of these acts."""
    entries = person("GET", "/v1/me/access").json()["data"]["entries"]
    return [one["content"]["record"] for one in entries if one["content"]["record"]["act"] in which]


def open_acts(service: RunningService, which: LoggedAct) -> list[dict[str, Any]]:
    """Return the open entries of this act that wait for the log."""
    waiting = rows(service.vault.data.path, "SELECT record FROM pending_leaves WHERE record IS NOT NULL")
    found: list[dict[str, Any]] = [json.loads(record) for (record,) in waiting]
    return [one for one in found if one["act"] == which]
