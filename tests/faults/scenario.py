"""A scenario of people who together send every kind of request that writes or reads, over HTTP."""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.byte_scan import owners, slots
from tests.support.service_fixture import Party, Person, enrol

Ask = Callable[[], httpx.Response]
Faces = Callable[[int, int], bytes]
"""Returns a photo of a person, by number and variant."""
ENDINGS = frozenset({"withdraw", "refuse", "erase", "recover", "restrict", "revoke a token", "delete an enrolment"})
"""Requests that end something; the end may have happened although the answer is 503."""
NAMES = sorted({*ENDINGS, "reader", "new consent", "enrol", "rename", "lift"})
NOT_ENROLLED = {"new consent", "enrol", "rename", "lift"}
STORAGE = (503, "urn:mien:problem:storage-unavailable")


@dataclass
class Scenario:
    """One person for each kind of request."""

    client: httpx.Client
    party: Party
    faces: Faces
    people: dict[str, Person] = field(default_factory=dict)
    consents: dict[str, dict[str, Any]] = field(default_factory=dict)

    def set_up(self) -> "Scenario":
        """Register the subjects; they consent and enrol as their later acts need."""
        for number, name in enumerate(NAMES):
            self.people[name] = person = self._registered(f"{name} Canary")
            if name != "new consent":
                self.consents[name] = self.consent(person).json()
            if name not in NOT_ENROLLED:
                answer = enrol(person, [self.consents[name]["consent_id"]], [self.faces(number % 5 + 1, 1)])
                assert answer.status_code == 201, answer.text
        self.people["lift"]("PUT", "/v1/me/restriction")
        return self

    def _registered(self, name: str) -> Person:
        body = self._sign_up(name).json()
        return Person(self.client, body["subject_id"], body["access_token"], body["recovery_code"])

    def _sign_up(self, name: str) -> httpx.Response:
        return self.client.post("/v1/subjects", json={"declared_adult": True, "display_name": name})

    def consent(self, person: Person, decision: str = "given") -> httpx.Response:
        """Let a subject decide about verification by the relying party."""
        known = {one["purpose"]: one["sha256"] for one in self.client.get("/v1/notices").json()["items"]}
        body = {"purpose": "verification", "notice_sha256": known["verification"], "decision": decision}
        return person("POST", "/v1/me/consents", json={**body, "relying_party_id": self.party.id})

    def reference(self, name: str) -> str:
        """Return the reference of a subject."""
        return str(self.consents[name]["subject_ref"])

    def verify(self, name: str = "reader") -> httpx.Response:
        """Let the relying party verify a subject."""
        number = NAMES.index(name)
        return self.party.verify(self.reference(name), self.faces(number % 5 + 1, 2))

    def writes(self) -> Mapping[str, Ask]:
        """Return every request that writes, by name; each can be repeated."""
        who, consent_of = self.people, {name: one["consent_id"] for name, one in self.consents.items()}
        token = who["revoke a token"]("GET", "/v1/me/tokens").json()["items"][0]["token_id"]
        enrolment = who["delete an enrolment"]("GET", "/v1/me/enrolments").json()["items"][0]["enrolment_id"]
        code = {"recovery_code": who["recover"].recovery_code}
        return {
            "sign up": lambda: self._sign_up("Newcomer Canary"),
            "new consent": lambda: self.consent(who["new consent"]),
            "enrol": lambda: enrol(who["enrol"], [consent_of["enrol"]], [self.faces(3, 1)]),
            "enrol again": lambda: enrol(who["rename"], [consent_of["rename"]], [self.faces(4, 1)]),
            "verify": self.verify,
            "rename": lambda: who["rename"]("PATCH", "/v1/me", json={"display_name": "Other Canary"}),
            "new token": lambda: who["rename"]("POST", "/v1/me/tokens"),
            "lift": lambda: who["lift"]("DELETE", "/v1/me/restriction"),
            "withdraw": lambda: who["withdraw"]("DELETE", f"/v1/me/consents/{consent_of['withdraw']}"),
            "refuse": lambda: self.consent(who["refuse"], "refused"),
            "recover": lambda: self.client.post("/v1/recoveries", json=code),
            "restrict": lambda: who["restrict"]("PUT", "/v1/me/restriction"),
            "revoke a token": lambda: who["revoke a token"]("DELETE", f"/v1/me/tokens/{token}"),
            "delete an enrolment": lambda: who["delete an enrolment"]("DELETE", f"/v1/me/enrolments/{enrolment}"),
            "erase": lambda: who["erase"]("DELETE", "/v1/me"),
        }

    def reads(self) -> Mapping[str, Ask]:
        """Return every request that reads, by path."""
        lists = ("/consents", "/tokens", "/enrolments", "/comparisons", "/receipts")
        # An access request is answered even if its receipt cannot be written.
        places = ("", *lists, "/access", "/access?receipt=true", "/export")
        return {place: lambda place=place: self.people["reader"]("GET", f"/v1/me{place}") for place in places}  # type: ignore[misc]


def outcomes(asked: Mapping[str, Ask]) -> dict[str, tuple[int, str | None]]:
    """Send each request. Returns its status and the type of its problem."""
    answers = {name: ask() for name, ask in asked.items()}
    return {name: (answer.status_code, problem(answer)) for name, answer in answers.items()}


def problem(answer: httpx.Response) -> str | None:
    """Return the type of a problem document; None for another answer."""
    if answer.headers.get("content-type") != "application/problem+json":
        return None
    return str(answer.json()["type"])


def statuses(asked: Mapping[str, Ask]) -> dict[str, int]:
    """Send each request. Returns its status."""
    return {name: status for name, (status, _) in outcomes(asked).items()}


def contents(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, read without the service, except destroyed keys.

    Access counts are left out too: they are not written while the disk is full.
    """
    with closing(sqlite3.connect(database)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            name: sorted(map(tuple, connection.execute(f"SELECT * FROM {name}")), key=repr)  # noqa: S608 - from the schema
            for name in names
            if name not in {"access_counts", "sqlite_sequence"}
        }
    if "keys" in found:
        found["keys"] = [row for row in found["keys"] if any(row[-1])]
    return found


def sound(root: Path) -> bool:
    """Return whether SQLite finds no fault in both databases, including their foreign keys."""
    for database in (root / "data" / "mien.db", root / "keys" / "register.db"):
        with closing(sqlite3.connect(database)) as connection:
            if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
                return False
            if connection.execute("PRAGMA foreign_key_check").fetchall():
                return False
    return True


def unused_keys(root: Path) -> set[bytes]:
    """Return the owner digests of keys without an owner in the data."""
    return {owner for owner, _, _ in slots(root)} - set(owners(root / "data" / "mien.db"))
