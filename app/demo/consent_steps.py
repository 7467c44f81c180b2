"""Part one: the operator adds a relying party; a person reads the notice, consents and enrols."""

import hashlib
from collections.abc import Sequence
from typing import Any

from app.demo.byte_scan import hash_needle, image_needle, photo_needle, text_needle
from app.demo.http_client import MultipartForm
from app.demo.people import PhotoFile, not_an_image
from app.demo.state import PARTY, DemoState, Person

ALTERNATIVE = "ring the bell and show your badge"
PURPOSE = "verification"


def add_relying_party(demo: DemoState) -> None:
    """The operator adds a relying party, Demo Door. It has to offer a way in without a face."""
    options = ["--contact", "door@example.invalid", "--purpose", PURPOSE, "--alternative", ALTERNATIVE]
    demo.narrator.request(f'mien relying-party add "{PARTY}" --purpose {PURPOSE} --alternative "{ALTERNATIVE}" …')
    added = demo.service.command("relying-party", "add", PARTY, *options)
    claim = f"its key is printed once: {added['api_key'][:9]}…"
    demo.narrator.check(claim, passed=added["name"] == PARTY, result=str(sorted(added)))
    demo.party_id, demo.door.token = added["relying_party_id"], added["api_key"]
    demo.secrets.append(text_needle("key of the relying party", added["api_key"]))


def list_relying_parties(demo: DemoState) -> None:
    """Everyone can see the relying parties, and the alternative that each of them offers."""
    parties = demo.ben.client.call("GET", "/v1/relying-parties").json()["items"]
    listed = any(PARTY in party.values() and ALTERNATIVE in str(party) for party in parties)
    demo.narrator.check(f"{PARTY} is listed, and its alternative: {ALTERNATIVE}", passed=listed, result=str(parties))


def register(demo: DemoState, person: Person) -> None:
    """Register a person under their own name; nothing stored may show the name or a credential."""
    body: dict[str, object] = {"declared_adult": True, "display_name": person.name}
    registered = person.client.call("POST", "/v1/subjects", body, expect=201).json()
    person.client.token = registered["access_token"]
    demo.secrets.append(text_needle(f"name of {person.name}", person.name))
    for kind in ("access_token", "recovery_code"):
        credential, name = registered[kind], f"{kind} of {person.name}"
        demo.secrets.append(text_needle(name, credential))
        demo.identifiers.append(hash_needle(f"hash of {name}", credential.encode()))
    demo.add_identifier(f"subject_id of {person.name}", registered["subject_id"])


def register_ada(demo: DemoState) -> None:
    """Ada registers: no e-mail address, no password. She declares that she is an adult."""
    register(demo, demo.ada)


def read_notice(demo: DemoState) -> None:
    """Ada reads the notice before she consents. The SHA-256 of its bytes identifies it."""
    notices = demo.ada.client.call("GET", "/v1/notices").json()["items"]
    demo.notice = next((notice["sha256"] for notice in notices if notice["purpose"] == PURPOSE), "none-in-force")
    text = demo.ada.client.call("GET", f"/v1/notices/{demo.notice}").content
    digest = hashlib.sha256(text).hexdigest()
    demo.narrator.check(f"SHA-256 of these bytes: {digest[:32]}…", passed=digest == demo.notice, result=digest)


def enrol_without_consent(demo: DemoState) -> None:
    """Before she consents, no photo of hers is opened. This one is not even an image."""
    unknown_id = "00000000-0000-4000-8000-000000000000"
    form = enrolment_form(unknown_id, [not_an_image()])
    demo.ada.client.call("POST", "/v1/me/enrolments", form, expect=403, slug="consent-required")


def enrolment_form(consent_id: str, photos: Sequence[PhotoFile]) -> MultipartForm:
    """Return the form of an enrolment."""
    return MultipartForm({"consent_id": consent_id}, [("photos", photo) for photo in photos])


def decide(demo: DemoState, person: Person, decision: str) -> dict[str, Any]:
    """Send a person's decision about the notice, and keep the receipt."""
    body: dict[str, object] = {
        "purpose": PURPOSE,
        "relying_party_id": demo.party_id,
        "notice_sha256": demo.notice,
        "decision": decision,
    }
    decided: dict[str, Any] = person.client.call("POST", "/v1/me/consents", body, expect=201).json()
    demo.keep_receipt(person, decided["receipt"], kind=f"consent_{decision}")
    return decided


def consent(demo: DemoState, person: Person) -> None:
    """Let a person consent, and note the new ids."""
    given = decide(demo, person, "given")
    person.consent_id, person.subject_ref = given["consent_id"], given["subject_ref"]
    demo.add_identifier(f"consent_id of {person.name}", person.consent_id)
    demo.add_identifier(f"subject_ref of {person.name}", person.subject_ref)


def consent_ada(demo: DemoState) -> None:
    """Ada consents: for this purpose, to Demo Door alone, under this notice."""
    consent(demo, demo.ada)
    demo.narrator.note(
        f"{PARTY} will know her by a random reference that no other party has. Ada keeps the receipt; it can be"
        " verified without the service."
    )


def add_secret_photo(demo: DemoState, photo: PhotoFile) -> None:
    """Add a photo to the values that may never be stored, and its hash."""
    demo.secrets.append(photo_needle(f"photo {photo.name}", photo.content))
    demo.secrets.append(hash_needle(f"hash of {photo.name}", photo.content))


def enrol(demo: DemoState, person: Person, names: Sequence[str]) -> None:
    """Enrol photos of a person."""
    photos = [PhotoFile.load(name) for name in names]
    for photo in photos:
        add_secret_photo(demo, photo)
    form = enrolment_form(person.consent_id, photos)
    enrolled = person.client.call("POST", "/v1/me/enrolments", form, expect=201).json()
    demo.add_identifier(f"enrolment_id of {person.name}", enrolled["enrolment_id"])
    if enrolled["more_photos"] is not None:
        demo.narrator.note(enrolled["more_photos"]["in_words"])


def enrol_ada(demo: DemoState) -> None:
    """Ada enrols two photos. They are measured and dropped; one template stays, sealed."""
    enrol(demo, demo.ada, demo.photos.ada_enrols)


def scan_while_enrolled(demo: DemoState) -> None:
    """Is it sealed? Every byte that the service wrote is searched for personal data in clear text."""
    demo.secrets.append(image_needle("an image of any kind"))
    result = demo.scan()
    control = result.found(f"consent_id of {demo.ada.name}")
    demo.narrator.check("the search can find things: it finds the id of Ada's consent", passed=control)
    demo.check_absent(result, demo.secrets, "no name, no token, no recovery code, no photo, no image of any kind")
    demo.narrator.note(
        "Without the keys, the data is noise. A thief of both could open it, so a real service keeps them apart."
    )
