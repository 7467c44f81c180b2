"""State that the steps share: the clients, the photos, and every value that must be gone at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.demo.byte_scan import Needle, Scan, scan, text_needle
from app.demo.http_client import Client, MultipartForm, answer_line
from app.demo.narrator import Narrator
from app.demo.people import PhotoFile, StoryPhotos
from app.demo.receipt_wallet import Wallet, identifying_parts
from app.demo.service_process import ServiceProcess
from app.faces.cards.card import load_card

PARTY = "Demo Door"


@dataclass(slots=True)
class Person:
    """A person and their client."""

    name: str
    client: Client
    consent_id: str = ""
    subject_ref: str = ""
    comparisons: list[str] = field(default_factory=list)
    """The ids of the comparisons with their template, oldest first."""


@dataclass(slots=True)
class DemoState:
    """The state of the story."""

    service: ServiceProcess
    wallet: Wallet
    narrator: Narrator
    photos: StoryPhotos
    door: Client
    ada: Person
    ben: Person
    party_id: str = ""
    notice: str = ""
    """SHA-256 of the notice in force for verification."""
    ada_use: dict[str, Any] = field(default_factory=dict)
    """One use of Ada's face, from her access document: the record of its entry, and its salt."""
    refusal: httpx.Response | None = None
    """The common answer for every reference that may not be used."""
    secrets: list[Needle] = field(default_factory=list)
    """Values that may never be stored in clear text."""
    identifiers: list[Needle] = field(default_factory=list)
    """Values that may be stored until the person is erased."""

    def verify(self, person: Person, photo: PhotoFile, *, decision: str) -> None:
        """Request a verification of *photo* as *person*, and check the decision."""
        answer = self.request_verification(person.subject_ref, photo, expect=200).json()
        actual = str(answer["decision"])
        self.narrator.check(f"the decision is {decision}", passed=actual == decision, result=actual)
        allowed = set(answer) <= {"comparison_id", "decision", "target_fmr", "liveness"}
        self.narrator.check(
            "the answer has no score, no name and no reason", passed=allowed, result=str(sorted(answer))
        )
        person.comparisons.append(answer["comparison_id"])
        self.add_identifier(f"comparison of {person.name}", answer["comparison_id"])

    def request_verification(
        self, subject_ref: str, photo: PhotoFile, *, expect: int, slug: str | None = None
    ) -> httpx.Response:
        """Send a photo and a reference as the relying party."""
        form = MultipartForm({"subject_ref": subject_ref}, [("probe", photo)])
        return self.door.call("POST", "/v1/verifications", form, expect=expect, slug=slug)

    def check_common_refusal(self, subject_ref: str, photo: PhotoFile, *, reason: str) -> None:
        """Request a verification with a reference that may not be used, and check that the answer hides the reason."""
        answer = self.request_verification(subject_ref, photo, expect=404, slug="no-such-consent")
        first = self.refusal = self.refusal or answer
        if answer is not first:
            same = _comparable(answer) == _comparable(first)
            self.narrator.check(f"the same answer, byte for byte: {reason}", passed=same, result=answer_line(answer))

    def keep_receipt(self, person: Person, bundle: dict[str, Any], *, kind: str) -> None:
        """Store a person's receipt; the service may store nothing that identifies it."""
        self.wallet.store(bundle, owner=person.name.partition(" ")[0], kind=kind)
        # The receipt of an erasure has no personal data; it stays available at its address.
        if kind != "erasure":
            parts = identifying_parts(bundle).items()
            self.secrets += [text_needle(f"{part} of a receipt of {person.name}", value) for part, value in parts]

    def add_identifier(self, name: str, text: str) -> None:
        """Search for this id after the erasure."""
        self.identifiers.append(text_needle(name, text))

    def scan(self, *more: Needle) -> Scan:
        """Search all files of the service for every needle, and show the extent of the search."""
        needles = [*self.secrets, *self.identifiers, *more]
        # The converted models are public, 22 MB, and would take minutes.
        result = scan(self.service.root, needles, known=load_card("face_recognition").converted.values())
        spellings = sum(len(needle.spellings) for needle in needles)
        self.narrator.request(
            f"{result.size:,} bytes in {result.files} files (data, keys, temporary files, application log) searched"
            f" for {len(needles)} values in {spellings:,} spellings"
        )
        return result

    def check_absent(self, result: Scan, needles: Sequence[Needle], claim: str) -> None:
        """Check that a scan found none of *needles*."""
        names = {needle.name for needle in needles}
        places = [
            f"{trace.needle} in {trace.path} at {trace.offset}" for trace in result.traces if trace.needle in names
        ]
        self.narrator.check(claim, passed=not places, result="; ".join(places))


def _comparable(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name not in {"date", "x-request-id"}}
    return answer.status_code, answer.content, headers
