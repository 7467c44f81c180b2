"""State that the acts share: the clients, the photos, and every value that must be gone at the end."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app.demo.byte_scan import Needle, Scan, hash_needle, scan, text_needle
from app.demo.http_client import Caller, Form, answer_shown
from app.demo.narrator import Teller
from app.demo.people import Cast, Photo
from app.demo.receipt_wallet import Holder, telling_parts
from app.demo.service_process import Stage

PARTY = "Demo Door"
CREDENTIALS = ("access_token", "recovery_code")


@dataclass(slots=True)
class Person:
    """One person and their client."""

    name: str
    caller: Caller
    consent_id: str = ""
    subject_ref: str = ""
    comparisons: list[str] = field(default_factory=list)
    """The ids of the comparisons that a relying party was answered, oldest first."""

    @property
    def first_name(self) -> str:
        """Return what they are called in the story."""
        return self.name.partition(" ")[0]


@dataclass(slots=True)
class Scene:
    """The whole stage; the acts share it."""

    stage: Stage
    holder: Holder
    teller: Teller
    cast: Cast
    door: Caller
    ada: Person
    ben: Person
    party_id: str = ""
    notice: str = ""
    """SHA-256 of the notice in force for verification."""
    use: dict[str, Any] = field(default_factory=dict)
    """What Ada was given of one use of her face: the record of its entry in the log, and its salt."""
    refusal: httpx.Response | None = None
    """The one answer for every reference that may not be used."""
    secrets: list[Needle] = field(default_factory=list)
    """Values that may never be stored in clear text, not even while people are enrolled."""
    identifiers: list[Needle] = field(default_factory=list)
    """Values that may be stored until the person is erased."""

    def verify(self, person: Person, photo: Photo, *, decision: str) -> None:
        """Let the door ask whether *photo* is *person*, and check its answer."""
        answer = self.ask(person.subject_ref, photo, expect=200).json()
        came = str(answer["decision"])
        self.teller.check(f"the decision is {decision}", held=came == decision, came=came)
        known = set(answer) <= {"comparison_id", "decision", "target_fmr", "liveness"}
        self.teller.check("the answer has no score, no name and no reason", held=known, came=str(sorted(answer)))
        person.comparisons.append(answer["comparison_id"])
        self.remember(f"comparison of {person.name}", answer["comparison_id"])

    def ask(self, subject_ref: str, photo: Photo, *, expect: int, slug: str | None = None) -> httpx.Response:
        """Let the door send a photo with a reference."""
        form = Form({"subject_ref": subject_ref}, [("probe", photo)])
        return self.door.call("POST", "/v1/verifications", form, expect=expect, slug=slug)

    def refused_alike(self, subject_ref: str, photo: Photo, *, why: str) -> None:
        """Let the door ask with a reference that it may not use, and check that the answer gives nothing away."""
        answer = self.ask(subject_ref, photo, expect=404, slug="no-such-consent")
        first = self.refusal = self.refusal or answer
        if answer is not first:
            same = _all_but_date(answer) == _all_but_date(first)
            self.teller.check(f"byte for byte the same answer: {why}", held=same, came=answer_shown(answer))

    def keep(self, person: Person, bundle: dict[str, Any], *, kind: str) -> None:
        """Let a person keep a receipt, of which nothing may be found where the service writes."""
        self.holder.keep(bundle, owner=person.first_name, kind=kind)
        # The receipt of an erasure has no personal data; it stays available at its address.
        if kind != "erasure":
            parts = telling_parts(bundle).items()
            self.secrets += [text_needle(f"{part} of a receipt of {person.name}", value) for part, value in parts]

    def remember(self, name: str, text: str) -> None:
        """Look for this id in the final scan."""
        self.identifiers.append(text_needle(name, text))

    def scan(self, *more: Needle) -> Scan:
        """Search everything that the service wrote for everything that was remembered, and say how much that was."""
        needles = [*self.secrets, *self.identifiers, *more]
        result = scan(self.stage.root, needles)
        spellings = sum(len(needle.spellings) for needle in needles)
        self.teller.sent(
            f"{result.size:,} bytes in {result.files} files (data, keys, temporary files, log) searched"
            f" for {len(needles)} things in {spellings:,} spellings"
        )
        return result

    def check_absent(self, result: Scan, needles: Sequence[Needle], claim: str) -> None:
        """Check that a scan found none of *needles*."""
        names = {needle.name for needle in needles}
        places = [
            f"{trace.needle} in {trace.path} at {trace.offset}" for trace in result.traces if trace.needle in names
        ]
        self.teller.check(claim, held=not places, came="; ".join(places))

    def hide(self, person: Person, registered: dict[str, Any]) -> None:
        """Note what was shown once to *person* and may be written nowhere."""
        self.secrets.append(text_needle(f"name of {person.name}", person.name))
        for credential in CREDENTIALS:
            self.secrets.append(text_needle(f"{credential} of {person.name}", registered[credential]))
            self.identifiers.append(
                hash_needle(f"hash of {credential} of {person.name}", registered[credential].encode())
            )
        self.remember(f"subject_id of {person.name}", registered["subject_id"])


def _all_but_date(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, answer.content, headers
