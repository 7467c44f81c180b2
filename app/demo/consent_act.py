"""Act one: the operator adds a relying party, and a person reads the notice and consents."""

import hashlib
from collections.abc import Sequence
from typing import Any

from app.demo.byte_scan import hash_needle, image_needle, photo_needle, text_needle
from app.demo.http_client import Form
from app.demo.people import Photo, not_an_image
from app.demo.scene import PARTY, Person, Scene

ALTERNATIVE = "ring the bell and show your badge"
PURPOSE = "verification"


def relying_party_is_added(scene: Scene) -> None:
    """Add the door, as an operator does."""
    scene.teller.step(f"The operator adds a relying party, {PARTY}. It has to offer a way without a face.")
    options = ["--contact", "door@example.invalid", "--purpose", PURPOSE, "--alternative", ALTERNATIVE]
    scene.teller.sent(f'mien relying-party add "{PARTY}" --purpose {PURPOSE} --alternative "{ALTERNATIVE}" …')
    added = scene.stage.command("relying-party", "add", PARTY, *options)
    scene.teller.check(
        f"its key is printed once: {added['api_key'][:9]}…", held=added["name"] == PARTY, came=str(sorted(added))
    )
    scene.party_id, scene.door.token = added["relying_party_id"], added["api_key"]
    scene.secrets.append(text_needle("key of the relying party", added["api_key"]))


def anybody_sees_who_may_ask(scene: Scene) -> None:
    """List the relying parties without any token."""
    scene.teller.step("Anybody can see who may ask, and which other way there is.")
    parties = scene.ben.caller.call("GET", "/v1/relying-parties").json()["items"]
    shown = any(PARTY in party.values() and ALTERNATIVE in str(party) for party in parties)
    scene.teller.check(f"{PARTY} is listed, and its alternative: {ALTERNATIVE}", held=shown, came=str(parties))


def register(scene: Scene, person: Person) -> None:
    """Register a person, under a name of their own choice."""
    body: dict[str, object] = {"declared_adult": True, "display_name": person.name}
    registered = person.caller.call("POST", "/v1/subjects", body, expect=201).json()
    scene.hide(person, registered)
    person.caller.token = registered["access_token"]


def ada_registers(scene: Scene) -> None:
    """Register Ada."""
    scene.teller.step("Ada registers. No e-mail, no password; she says that she is an adult.")
    register(scene, scene.ada)


def ada_reads_the_notice(scene: Scene) -> None:
    """Find the notice in force, read it, and check that it is the one it claims to be."""
    scene.teller.step("Ada reads what she is asked. The text is known by the SHA-256 of its bytes.")
    notices = scene.ada.caller.call("GET", "/v1/notices").json()["items"]
    scene.notice = next((notice["sha256"] for notice in notices if notice["purpose"] == PURPOSE), "none-in-force")
    text = scene.ada.caller.call("GET", f"/v1/notices/{scene.notice}").content
    digest = hashlib.sha256(text).hexdigest()
    scene.teller.check(f"SHA-256 of these bytes: {digest[:32]}…", held=digest == scene.notice, came=digest)


def nothing_happens_unasked(scene: Scene) -> None:
    """Try to enrol without any consent."""
    scene.teller.step("Before she consents, nothing she sends is looked at, be it no image at all.")
    nobodys = "00000000-0000-4000-8000-000000000000"
    form = enrolment(nobodys, [not_an_image()])
    scene.ada.caller.call("POST", "/v1/me/enrolments", form, expect=403, slug="consent-required")


def enrolment(consent_id: str, photos: Sequence[Photo]) -> Form:
    """Fill in the form for an enrolment."""
    return Form({"consent_id": consent_id}, [("photos", photo) for photo in photos])


def decide(scene: Scene, person: Person, decision: str) -> dict[str, Any]:
    """Let a person decide about one purpose, one relying party and one text, and keep the receipt of that."""
    body: dict[str, object] = {
        "purpose": PURPOSE,
        "relying_party_id": scene.party_id,
        "notice_sha256": scene.notice,
        "decision": decision,
    }
    decided: dict[str, Any] = person.caller.call("POST", "/v1/me/consents", body, expect=201).json()
    scene.keep(person, decided["receipt"], kind=f"consent_{decision}")
    return decided


def consent(scene: Scene, person: Person) -> None:
    """Let a person say yes."""
    given = decide(scene, person, "given")
    person.consent_id, person.subject_ref = given["consent_id"], given["subject_ref"]
    scene.remember(f"consent_id of {person.name}", person.consent_id)
    scene.remember(f"subject_ref of {person.name}", person.subject_ref)


def ada_consents(scene: Scene) -> None:
    """Let Ada say yes."""
    scene.teller.step(f"Ada says yes: for this purpose, to {PARTY} alone, to this text.")
    consent(scene, scene.ada)
    scene.teller.note(
        f"{PARTY} will know her by a random reference that no other party has. The receipt is hers to keep: it holds"
        " without the service."
    )


def hide_photo(scene: Scene, photo: Photo) -> None:
    """Note a photo of which nothing may be written anywhere, nor what tells that it was this one."""
    scene.secrets.append(photo_needle(f"photo {photo.name}", photo.content))
    scene.secrets.append(hash_needle(f"hash of {photo.name}", photo.content))


def enrol(scene: Scene, person: Person, names: tuple[str, ...]) -> None:
    """Enrol photos of a person."""
    photos = [Photo.load(name) for name in names]
    for photo in photos:
        hide_photo(scene, photo)
    form = enrolment(person.consent_id, photos)
    enrolled = person.caller.call("POST", "/v1/me/enrolments", form, expect=201).json()
    scene.remember(f"enrolment_id of {person.name}", enrolled["enrolment_id"])


def ada_enrols(scene: Scene) -> None:
    """Enrol Ada."""
    scene.teller.step("Ada enrols two photos. They are measured and dropped; one template stays, sealed.")
    enrol(scene, scene.ada, scene.cast.ada_enrols)


def files_hold_no_clear_trace(scene: Scene) -> None:
    """Look through the service's files while Ada is enrolled."""
    scene.teller.step("Is it sealed? Every byte that the service wrote is searched, not its queries asked.")
    scene.secrets.append(image_needle("an image of any kind"))
    result = scene.scan()
    seen = result.found(f"consent_id of {scene.ada.name}")
    scene.teller.check("the search can see: it finds the id of Ada's consent", held=seen)
    scene.check_absent(result, scene.secrets, "no name, no token, no recovery code, no photo, no image of any kind")
    scene.teller.note("Data without the keys is noise. Whoever takes both can open it: in earnest they are kept apart.")
