"""Act three: the person lists every comparison, withdraws, is erased, and no data remains."""

from app.demo.byte_scan import Needle, text_needle
from app.demo.people import Photo
from app.demo.scene import PARTY, Person, Scene

VISIBLE = "the relying party's name"
LEAF = "the line that the log has of Ada's consent: a number that means nothing"


def ada_reads_her_log(scene: Scene) -> None:
    """List every comparison of Ada."""
    scene.teller.step("Ada sees every use that was made of her face, newest first.")
    items = scene.ada.caller.call("GET", "/v1/me/comparisons").json()["items"]
    for item in items:
        scene.teller.note(f"{item['at']}  {item['relying_party']}: {item['decision']}")
    listed = [item["comparison_id"] for item in items]
    expected = scene.ada.comparisons[::-1]
    scene.teller.check(f"all {len(expected)} of them, and no other person's", held=listed == expected, came=str(listed))


def ada_corrects_her_name(scene: Scene) -> None:
    """Rectify the name that Ada is called by."""
    scene.teller.step("Ada corrects her name. The receipt says that, and neither the old name nor the new.")
    ada, name = scene.ada, "Ada Corrected-Person"
    corrected = ada.caller.call("PATCH", "/v1/me", {"display_name": name}).json()
    scene.secrets.append(text_needle("corrected name of Ada", name))
    scene.keep(ada, corrected["receipt"], kind="rectification")


def ada_asks_for_everything(scene: Scene) -> None:
    """Read all that is held about Ada, with what the log has of each use."""
    scene.teller.step("Ada asks for all that is held about her. She wants a receipt of that as well.")
    ada = scene.ada
    held = ada.caller.call("GET", "/v1/me/access?receipt=true").json()
    scene.keep(ada, held["receipt"], kind="access")
    entries = [row["content"] for row in held["data"]["entries"]]
    uses = [entry for entry in entries if entry["record"]["act"] == "comparison"]
    scene.secrets += [text_needle(f"salt {number} of Ada", entry["salt"]) for number, entry in enumerate(entries)]
    scene.teller.check(f"each of {len(ada.comparisons)} uses is in it", held=len(uses) == len(ada.comparisons))
    scene.use = uses[0]


def ada_withdraws(scene: Scene) -> None:
    """Withdraw Ada's consent; the door asks again."""
    scene.teller.step("Ada withdraws. No reason, no waiting: when this answers, the key is gone.")
    ada = scene.ada
    withdrawn = ada.caller.call("DELETE", f"/v1/me/consents/{ada.consent_id}").json()
    scene.keep(ada, withdrawn["receipt"], kind="consent_withdrawn")
    scene.refused_alike(ada.subject_ref, Photo.load(scene.cast.ada_at_the_door), why="never was, or withdrawn")


def erase(scene: Scene, person: Person) -> None:
    """Erase a person."""
    erased = person.caller.call("DELETE", "/v1/me").json()
    scene.keep(person, erased["receipt"], kind="erasure")
    status = erased["status"]
    scene.teller.check("erasure is completed, not promised", held=status == "completed", came=status)
    for kept in erased["kept"]:
        scene.teller.note(f"kept: {kept['what']}: {kept['holds']}; {kept['why']}")
    person.caller.call("GET", "/v1/me", expect=401, slug="unauthenticated")
    person.caller.token = None
    person.caller.call("GET", f"/v1/erasures/{erased['erasure_id']}")


def everybody_leaves(scene: Scene) -> None:
    """Erase both people."""
    scene.teller.step("Ada erases everything that is held about her. Her token is dead at once.")
    erase(scene, scene.ada)
    scene.refused_alike(scene.ada.subject_ref, Photo.load(scene.cast.ada_at_the_door), why="never was, or erased")
    scene.teller.step("Ben leaves too, without withdrawing first.")
    erase(scene, scene.ben)
    scene.refused_alike(scene.ben.subject_ref, Photo.load(scene.cast.ben_enrols[0]), why="never was, or erased")


def nothing_is_left(scene: Scene) -> None:
    """Search every byte for every person."""
    scene.teller.step("Is it true? Every byte that the service wrote is searched again.")
    _check_nothing_left(scene)


def the_service_stops(scene: Scene) -> None:
    """Stop the service, and search once more."""
    scene.teller.step("The service is stopped, and its files are searched once more.")
    scene.teller.sent("SIGTERM")
    code = scene.stage.stop()
    scene.teller.check("it exits 0", held=code == 0, came=f"exit code {code}")
    _check_nothing_left(scene)


def _check_nothing_left(scene: Scene) -> None:
    leaf = Needle.of(LEAF, [bytes.fromhex(scene.holder.receipts[0].leaf)])
    result = scene.scan(text_needle(VISIBLE, PARTY), leaf)
    seen = result.found(VISIBLE) and result.found(LEAF)
    scene.teller.check(f"the search can see: it finds {VISIBLE}, and {LEAF}", held=seen)
    needles = [*scene.secrets, *scene.identifiers]
    scene.check_absent(result, needles, "no name, token, photo, reference, receipt or id of Ada or Ben is left")
