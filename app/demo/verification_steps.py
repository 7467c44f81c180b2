"""Part two: the relying party requests comparisons; it gets match, no match, or a refusal."""

import secrets

from app.demo.consent_steps import add_secret_photo, consent, decide, enrol, enrolment_form, register
from app.demo.people import PhotoFile, not_an_image
from app.demo.state import DemoState


def take_probe(demo: DemoState, name: str) -> PhotoFile:
    """Load a photo taken at the door; nothing of it may be stored."""
    photo = PhotoFile.load(name)
    add_secret_photo(demo, photo)
    return photo


def match_ada(demo: DemoState) -> None:
    """Ada is at the door. Demo Door asks: is this the face enrolled under this reference?"""
    demo.verify(demo.ada, take_probe(demo, demo.photos.ada_at_the_door), decision="match")


def reject_another_person(demo: DemoState) -> None:
    """Another person comes with Ada's reference."""
    demo.verify(demo.ada, take_probe(demo, demo.photos.another_person), decision="no_match")


def refuse_group_photo(demo: DemoState) -> None:
    """A photo with two people in it is refused: Mien does not measure the person beside Ada."""
    photo = take_probe(demo, demo.photos.group)
    demo.request_verification(demo.ada.subject_ref, photo, expect=422, slug="several-faces")


def refuse_borrowed_consent(demo: DemoState) -> None:
    """Ben registers too. He has not consented, and tries to enrol under Ada's consent."""
    register(demo, demo.ben)
    form = enrolment_form(demo.ada.consent_id, [PhotoFile.load(demo.photos.ben_enrols[0])])
    demo.ben.client.call("POST", "/v1/me/enrolments", form, expect=403, slug="consent-required")


def refuse_unknown_reference(demo: DemoState) -> None:
    """Demo Door sends a reference that never existed, and bytes that are no image."""
    unknown = "a-reference-that-never-was-" + secrets.token_urlsafe(8)
    demo.check_common_refusal(unknown, not_an_image(), reason="unknown")
    demo.narrator.note("The bytes were not read. With a reference that the relying party may use, they are:")
    demo.request_verification(demo.ada.subject_ref, not_an_image(), expect=415, slug="unsupported-image")


def record_bens_refusal(demo: DemoState) -> None:
    """Ben refuses to consent. That is recorded too, and he gets a receipt of it."""
    refused = decide(demo, demo.ben, "refused")
    demo.narrator.check("no reference to him is made", passed=refused["subject_ref"] is None)


def hide_that_ben_exists(demo: DemoState) -> None:
    """Ben changes his mind and consents, but has not enrolled yet: the same answer as for an unknown reference."""
    consent(demo, demo.ben)
    demo.check_common_refusal(demo.ben.subject_ref, not_an_image(), reason="unknown, or not enrolled")


def match_look_alike(demo: DemoState) -> None:
    """Ben enrols. Now another person, who only looks like him, comes to the door."""
    enrol(demo, demo.ben, demo.photos.ben_enrols)
    demo.verify(demo.ben, take_probe(demo, demo.photos.bens_look_alike), decision="match")
    demo.narrator.note(
        "This is a FALSE match: these are two people. A match is a likelihood, not a proof."
        " For some groups of people it happens far more often than for others: read the notice."
    )


def restrict_ada(demo: DemoState) -> None:
    """Ada restricts all use of her face for a while. Her data stays; the door gets the common answer."""
    ada = demo.ada
    restricted = ada.client.call("PUT", "/v1/me/restriction").json()
    demo.keep_receipt(ada, restricted["receipt"], kind="restriction")
    photo = take_probe(demo, demo.photos.ada_at_the_door)
    demo.check_common_refusal(ada.subject_ref, photo, reason="unknown, or restricted")
    lifted = ada.client.call("DELETE", "/v1/me/restriction").json()
    demo.keep_receipt(ada, lifted["receipt"], kind="restriction_lifted")
