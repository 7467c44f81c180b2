"""Acts of subjects and relying parties: the request, the expected answer, and the change of the model."""

from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, ClassVar

import httpx

from tests.machine.cells import Cell, cell
from tests.machine.model import Album, Event, Grant, Model, Person, Template, Token
from tests.machine.receipts import receipt_of
from tests.support.toy_faces import toy_photo

GOOD = ""
"""In place of a slug, for a request that succeeds."""
Body = dict[str, Any]
"""The body of an answer; empty if it is not known."""
photo = cache(toy_photo)
NOTED = {"consent-required", "restricted"}
"""Refusals that have an entry among those of the subject."""


@dataclass
class Act:
    """One request."""

    secret: str | None
    """The secret of the request."""
    method: ClassVar[str] = "POST"
    refused_meanwhile: ClassVar[tuple[int, str]] = (0, "")
    """The refusal that a concurrent act on the same subject may cause, though neither order of the two would."""

    def send(self, client: httpx.Client) -> httpx.Response:
        """Send the request."""
        headers = {} if self.secret is None else {"Authorization": f"Bearer {self.secret}"}
        return client.request(self.method, self.path(), headers=headers, **self.sent())

    def path(self) -> str:
        """Return the path of the request."""
        raise NotImplementedError

    def sent(self) -> dict[str, Any]:
        """Return the body of the request."""
        return {}

    def foresee(self, model: Model) -> tuple[int, str]:
        """Return the expected status, and the slug of the problem."""
        raise NotImplementedError

    def happen(self, model: Model, body: Body) -> None:
        """Change the model as a success of the request does."""

    def refused(self, model: Model, slug: str) -> None:
        """Change the model as a refusal of the request does."""

    def subject(self, model: Model) -> Person | None:
        """Return the subject of the request."""
        return model.holder(self.secret)


@dataclass
class Own(Act):
    """A subject's request about their own data."""

    def foresee(self, model: Model) -> tuple[int, str]:
        """Expect 401 without a valid token."""
        person = model.holder(self.secret)
        return (401, "unauthenticated") if person is None else self.asked(model, person)

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        """Return the expected answer to this subject."""
        del model, person
        return 200, GOOD

    def happen(self, model: Model, body: Body) -> None:
        """Find the subject in the model and change it."""
        person = model.holder(self.secret)
        assert person is not None
        self.change(model, person, body)

    def change(self, model: Model, person: Person, body: Body) -> None:
        """Change the subject in the model."""

    def refused(self, model: Model, slug: str) -> None:
        """Count an entry of the subject."""
        person = model.holder(self.secret)
        if slug in NOTED and person is not None:
            person.acts[f"refusal: {slug}"] += 1


@dataclass
class Rename(Own):
    """Correct a name, or remove it."""

    name: str | None
    method: ClassVar[str] = "PATCH"

    def path(self) -> str:
        return "/v1/me"

    def sent(self) -> dict[str, Any]:
        return {"json": {"display_name": self.name}}

    def change(self, model: Model, person: Person, body: Body) -> None:
        person.name = self.name
        person.rights["rectification"] += 1
        assert not body or receipt_of(body) == "rectification"


@dataclass
class AddToken(Own):
    """Ask for one more token."""

    def path(self) -> str:
        return "/v1/me/tokens"

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        return 201, GOOD

    def change(self, model: Model, person: Person, body: Body) -> None:
        person.tokens.append(Token("access", body.get("access_token"), cell(body.get("token_id"))))


@dataclass
class RevokeToken(Own):
    """Revoke a token."""

    token_id: str
    method: ClassVar[str] = "DELETE"

    def path(self) -> str:
        return f"/v1/me/tokens/{self.token_id}"

    def _mine(self, person: Person) -> list[Token]:
        return [one for one in person.tokens if one.id.value == self.token_id and one.kind == "access"]

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        return (204, GOOD) if self._mine(person) else (404, "not-found")

    def change(self, model: Model, person: Person, body: Body) -> None:
        model.end_tokens(person, self._mine(person))


@dataclass
class Recover(Act):
    """Recover an account; the secret is the recovery code."""

    def send(self, client: httpx.Client) -> httpx.Response:
        return client.post("/v1/recoveries", json={"recovery_code": self.secret})

    def subject(self, model: Model) -> Person | None:
        return model.holder(self.secret, "recovery")

    def foresee(self, model: Model) -> tuple[int, str]:
        return (401, "unauthenticated") if self.subject(model) is None else (201, GOOD)

    def happen(self, model: Model, body: Body) -> None:
        person = self.subject(model)
        assert person is not None
        model.end_tokens(person, person.tokens)
        person.tokens = [Token("access", body.get("access_token")), Token("recovery", body.get("recovery_code"))]


@dataclass
class Decide(Own):
    """Give or refuse a consent."""

    purpose: str
    party: str | None
    notice: str
    decision: str = "given"
    days: int | None = None
    """Days until it ends; the service chooses if this is None."""
    ends_at: str | None = None

    def path(self) -> str:
        return "/v1/me/consents"

    def sent(self) -> dict[str, Any]:
        body = {"purpose": self.purpose, "notice_sha256": self.notice, "decision": self.decision}
        more = {"relying_party_id": self.party, "valid_until": self.ends_at}
        return {"json": body | {name: value for name, value in more.items() if value is not None}}

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        if self.party is not None:
            party = model.data.parties.get(self.party)
            if party is None or party.revoked or self.purpose not in party.purposes:
                return 422, "invalid-request"
        if model.data.notices[self.purpose] != self.notice:
            return 409, "notice-changed"
        standing = person.grant(self.purpose, self.party)
        stands = standing is not None and standing.ends > model.now and standing.notice == self.notice
        return (200 if stands and self.decision == "given" else 201), GOOD

    def change(self, model: Model, person: Person, body: Body) -> None:
        assert not body or receipt_of(body) == f"consent_{self.decision}"
        if self.asked(model, person)[0] == 200:
            standing = person.grant(self.purpose, self.party)
            assert not body or (standing is not None and standing.id.takes(body["consent_id"])), (
                "the consent in force is unchanged"
            )
            return
        if (standing := person.grant(self.purpose, self.party)) is not None:
            model.end(person, standing)
        if self.decision == "refused":
            blank = (model.now, self.purpose, self.party, self.notice, None, model.count())
            person.events.append(Event(cell(body.get("consent_id")), "refused", Cell(blank[0]), *blank[1:]))
            return
        ends = model.default_end() if self.days is None else model.now + timedelta(days=self.days)
        grant = Grant(
            cell(body.get("consent_id")), self.purpose, self.party, self._reference(person, body), self.notice, ends
        )
        person.grants.append(grant)
        person.events.append(model.event(person, grant, "given", Cell(model.now)))

    def _reference(self, person: Person, body: Body) -> Cell:
        """Return the subject's reference at the relying party: the known one while a consent exists, else a new one."""
        if self.party is None:
            return Cell("None")
        known = next((one.ref for one in person.grants if one.party == self.party), cell(body.get("subject_ref")))
        assert not body or known.takes(body["subject_ref"]), "one reference for each party"
        return known


@dataclass
class Withdraw(Own):
    """Withdraw a consent; repeating it is harmless."""

    consent: str
    method: ClassVar[str] = "DELETE"

    def path(self) -> str:
        return f"/v1/me/consents/{self.consent}"

    def _standing(self, person: Person) -> Grant | None:
        return next((one for one in person.grants if one.id.value == self.consent), None)

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        decided = any(one.consent.value == self.consent for one in person.events)
        return (200, GOOD) if decided else (404, "not-found")

    def change(self, model: Model, person: Person, body: Body) -> None:
        if (grant := self._standing(person)) is not None:
            model.end(person, grant)
        if body:
            latest = [one.state for one in person.events if one.consent.value == self.consent][-1]
            assert body["state"] == latest
            assert body.get("erased_from_disk") is True
            assert receipt_of(body) == f"consent_{latest}"


@dataclass
class Enrol(Own):
    """Send photos of *faces* for consents."""

    consents: list[str]
    faces: list[int]
    keep: bool
    refused_meanwhile: ClassVar[tuple[int, str]] = (403, "consent-required")

    def path(self) -> str:
        return "/v1/me/enrolments"

    def sent(self) -> dict[str, Any]:
        photos = [("photos", (f"{n}.png", photo(face, variant=3 * n))) for n, face in enumerate(self.faces)]
        return {"data": {"consent_id": self.consents, "keep_photos": str(self.keep).lower()}, "files": photos}

    def _grants(self, model: Model, person: Person) -> list[Grant]:
        usable = [one for one in person.grants if model.live(person, one)]
        found = [one for one in usable if one.id.value in self.consents and one.party is not None]
        return found if len(found) == len(set(self.consents)) else []

    def asked(self, model: Model, person: Person) -> tuple[int, str]:
        if person.matching_period is None:
            return 423, "restricted"
        renewal = person.grant("template_renewal", None)
        if not self._grants(model, person) or (self.keep and (renewal is None or not model.live(person, renewal))):
            return 403, "consent-required"
        return (422, "not-the-same-person") if len(set(self.faces)) > 1 else (201, GOOD)

    def change(self, model: Model, person: Person, body: Body) -> None:
        enrolment, today = cell(body.get("enrolment_id")), model.now.date()
        person.acts["enrolment"] += 1
        for grant in self._grants(model, person):
            if grant.template is not None and grant.template.id.value is not None:
                model.ended.sealed.add(grant.template.id.value)
            grant.template = Template(Cell(), enrolment, self.faces[0], today)
        renewal = person.grant("template_renewal", None)
        if renewal is None:
            return
        model.end_photos_without_template(person)
        if self.keep:
            renewal.albums.append(Album([Cell() for _ in self.faces], enrolment, today))
