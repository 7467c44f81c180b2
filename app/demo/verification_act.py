"""Act two: the relying party requests comparisons; it gets match, no match, or a refusal."""

import secrets

from app.demo.consent_act import consent, decide, enrol, enrolment, hide_photo, register
from app.demo.people import Photo, not_an_image
from app.demo.scene import PARTY, Scene


def probe(scene: Scene, name: str) -> Photo:
    """Take a photo at the door, and note that nothing of it may stay."""
    photo = Photo.load(name)
    hide_photo(scene, photo)
    return photo


def ada_is_recognised(scene: Scene) -> None:
    """Send another photo of Ada."""
    scene.teller.step(f"Ada is at the door. {PARTY} asks: is this the face behind this reference?")
    scene.verify(scene.ada, probe(scene, scene.cast.ada_at_the_door), decision="match")


def somebody_else_is_not(scene: Scene) -> None:
    """Send another person's photo with Ada's reference."""
    scene.teller.step("Somebody else comes with Ada's reference.")
    scene.verify(scene.ada, probe(scene, scene.cast.somebody_else), decision="no_match")


def a_group_is_refused(scene: Scene) -> None:
    """Send a photo with two faces."""
    scene.teller.step("A photo with two people in it is refused: Mien does not measure the person beside her.")
    scene.ask(scene.ada.subject_ref, probe(scene, scene.cast.group), expect=422, slug="several-faces")


def ben_cannot_borrow_a_consent(scene: Scene) -> None:
    """Register Ben, who tries to enrol under Ada's consent."""
    scene.teller.step("Ben registers too. He has consented to nothing, and tries with Ada's consent.")
    register(scene, scene.ben)
    form = enrolment(scene.ada.consent_id, [Photo.load(scene.cast.ben_enrols[0])])
    scene.ben.caller.call("POST", "/v1/me/enrolments", form, expect=403, slug="consent-required")


def ben_says_no(scene: Scene) -> None:
    """Let Ben refuse, which costs him nothing."""
    scene.teller.step("Ben says no. That is recorded too, and he gets a receipt of it.")
    refused = decide(scene, scene.ben, "refused")
    scene.teller.check("no reference to him is made", held=refused["subject_ref"] is None)


def ada_stops_all_use(scene: Scene) -> None:
    """Restrict the use of Ada's face, ask for her, and lift the restriction."""
    scene.teller.step("Ada stops all use of her face for a while. Her data stays; the door gets the common answer.")
    ada = scene.ada
    stopped = ada.caller.call("PUT", "/v1/me/restriction").json()
    scene.keep(ada, stopped["receipt"], kind="restriction")
    scene.refused_alike(ada.subject_ref, probe(scene, scene.cast.ada_at_the_door), why="never was, or restricted")
    lifted = ada.caller.call("DELETE", "/v1/me/restriction").json()
    scene.keep(ada, lifted["receipt"], kind="restriction_lifted")


def an_unknown_reference_is_refused_unseen(scene: Scene) -> None:
    """Ask with a reference that never was, and with bytes that are no image."""
    scene.teller.step(f"{PARTY} asks for a reference that never was. What it sends is no image at all.")
    scene.refused_alike("a-reference-that-never-was-" + secrets.token_urlsafe(8), not_an_image(), why="unknown")
    scene.teller.note("Nobody looked at the bytes: with a reference that it may use, they are")
    scene.ask(scene.ada.subject_ref, not_an_image(), expect=415, slug="unsupported-image")


def nobody_is_told_apart(scene: Scene) -> None:
    """Request a comparison with a person who consents and has not enrolled."""
    scene.teller.step("Ben thinks again and consents, and has not enrolled yet. It cannot be told from a stranger.")
    consent(scene, scene.ben)
    scene.refused_alike(scene.ben.subject_ref, not_an_image(), why="unknown, or not enrolled")


def look_alike_is_let_in(scene: Scene) -> None:
    """Show a false match: the engine takes one person for another."""
    scene.teller.step("Ben enrols. Now another person, who only looks like him, comes to the door.")
    enrol(scene, scene.ben, scene.cast.ben_enrols)
    scene.verify(scene.ben, probe(scene, scene.cast.bens_look_alike), decision="match")
    scene.teller.note(
        "This is what a FALSE match looks like: these are two people. A match is a likelihood, not a proof."
        " For some groups of people it happens far more often than for others: read the notice."
    )
