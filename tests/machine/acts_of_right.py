"""More acts: registration, verification, restriction, deletion, erasure, access and export."""

from dataclasses import dataclass
from typing import ClassVar

import httpx

from tests.machine.acts import GOOD, Act, Body, Own, photo
from tests.machine.cells import cell
from tests.machine.model import Album, Comparison, Grant, Model, Person, Token
from tests.machine.receipts import receipt_of


@dataclass
class Register(Act):
    """Register a subject."""

    name: str | None
    subject_id: str = ""
    """The new subject, once its id is known."""

    def send(self, client: httpx.Client) -> httpx.Response:
        return client.post("/v1/subjects", json={"declared_adult": True, "display_name": self.name})

    def foresee(self, model: Model) -> tuple[int, str]:
        return 201, GOOD

    def subject(self, model: Model) -> Person | None:
        return model.data.people.get(self.subject_id)

    def happen(self, model: Model, body: Body) -> None:
        """Add the subject to the model, unless the answer was lost: then no caller knows the subject."""
        if not body:
            return
        self.subject_id = body["subject_id"]
        tokens = [Token("access", body["access_token"]), Token("recovery", body["recovery_code"])]
        person = Person(self.subject_id, self.name, model.now.date(), tokens, model.count())
        model.data.people[person.id] = person


@dataclass
class Verify(Act):
    """Let a relying party verify a face against a reference."""

    ref: str
    face: int
    refused_meanwhile: ClassVar[tuple[int, str]] = (404, "no-such-consent")

    def send(self, client: httpx.Client) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.secret}"}
        files = {"probe": photo(self.face, variant=1)}
        return client.post("/v1/verifications", headers=headers, data={"subject_ref": self.ref}, files=files)

    def _usable(self, model: Model) -> tuple[Person, int] | None:
        party = model.asking(self.secret)
        for person in model.data.people.values():
            for grant in person.grants:
                mine = party is not None and (grant.party, grant.purpose) == (party.id, "verification")
                if mine and grant.ref.value == self.ref and model.live(person, grant) and grant.template is not None:
                    return person, grant.template.face
        return None

    def subject(self, model: Model) -> Person | None:
        usable = self._usable(model)
        return None if usable is None else usable[0]

    def foresee(self, model: Model) -> tuple[int, str]:
        if model.asking(self.secret) is None:
            return 401, "unauthenticated"
        return (404, "no-such-consent") if self._usable(model) is None else (200, GOOD)

    def happen(self, model: Model, body: Body) -> None:
        usable, party = self._usable(model), model.asking(self.secret)
        assert usable is not None
        assert party is not None
        person, face = usable
        decision = "match" if face == self.face else "no_match"
        assert not body or body["decision"] == decision
        assert not body or set(body) == {"comparison_id", "decision", "target_fmr", "liveness"}
        person.comparisons.append(Comparison(cell(body.get("comparison_id")), party.id, decision, model.now))


@dataclass
class Restrict(Own):
    """Stop all matching."""

    method: ClassVar[str] = "PUT"

    def path(self) -> str:
        return "/v1/me/restriction"

    def change(self, model: Model, person: Person, body: Body) -> None:
        assert not body or receipt_of(body) == (None if person.matching_period is None else "restriction")
        if person.matching_period is not None:
            model.ended.matching_periods.add(person.matching_period)
            person.rights["restriction"] += 1
        person.matching_period = None


@dataclass
class Lift(Own):
    """Lift the restriction."""

    method: ClassVar[str] = "DELETE"

    def path(self) -> str:
        return "/v1/me/restriction"

    def change(self, model: Model, person: Person, body: Body) -> None:
        assert not body or receipt_of(body) == ("restriction_lifted" if person.matching_period is None else None)
        if person.matching_period is None:
            person.matching_period = model.count()
            person.rights["restriction_lifted"] += 1


@dataclass
class Unenrol(Own):
    """Delete an enrolment."""

    enrolment: str
    method: ClassVar[str] = "DELETE"

    def path(self) -> str:
        return f"/v1/me/enrolments/{self.enrolment}"

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        return (200, GOOD) if self.enrolment in person.enrolments() else (404, "not-found")

    def change(self, model: Model, person: Person, body: Body) -> None:
        for one in person.parts(self.enrolment):
            _drop(model, person, one)
        person.acts["enrolment_deleted"] += 1


def _drop(model: Model, person: Person, one: Grant | Album) -> None:
    """Drop a template or an album."""
    if isinstance(one, Grant):
        ids = [] if one.template is None else [one.template.id]
        one.template = None
    else:
        ids = one.ids
        for grant in person.grants:
            grant.albums = [album for album in grant.albums if album is not one]
    model.ended.sealed |= {cell.value for cell in ids if cell.value is not None}


@dataclass
class Erase(Own):
    """Erase the subject."""

    method: ClassVar[str] = "DELETE"

    def path(self) -> str:
        return "/v1/me"

    def change(self, model: Model, person: Person, body: Body) -> None:
        assert not body or (body["status"], receipt_of(body)) == ("completed", "erasure")
        model.erase(person)


@dataclass
class See(Own):
    """Ask for access, or for the export."""

    part: str = "access"
    method: ClassVar[str] = "GET"

    def path(self) -> str:
        return f"/v1/me/{self.part}"

    def change(self, model: Model, person: Person, body: Body) -> None:
        person.accesses[model.now.date()] += 1
