"""Part three: the person lists every comparison, withdraws, is erased, and no data remains."""

from app.demo.byte_scan import Needle, text_needle
from app.demo.people import PhotoFile
from app.demo.state import PARTY, DemoState, Person

NAME = "the relying party's name"
LEAF = "the leaf of Ada's consent in the transparency log, which reveals nothing"


def list_comparisons(demo: DemoState) -> None:
    """Ada sees every use of her face, newest first."""
    items = demo.ada.client.call("GET", "/v1/me/comparisons").json()["items"]
    for item in items:
        demo.narrator.note(f"{item['at']}  {item['relying_party']}: {item['decision']}")
    listed, expected = [item["comparison_id"] for item in items], demo.ada.comparisons[::-1]
    claim = f"all {len(expected)} of them, and no other person's"
    demo.narrator.check(claim, passed=listed == expected, result=str(listed))


def correct_name(demo: DemoState) -> None:
    """Ada corrects her name. The receipt states that, without the old name or the new."""
    ada, name = demo.ada, "Ada Corrected-Person"
    corrected = ada.client.call("PATCH", "/v1/me", {"display_name": name}).json()
    demo.secrets.append(text_needle("corrected name of Ada", name))
    demo.keep_receipt(ada, corrected["receipt"], kind="rectification")


def read_all_data(demo: DemoState) -> None:
    """Ada asks for all data about her, with a receipt of that as well."""
    ada = demo.ada
    document = ada.client.call("GET", "/v1/me/access?receipt=true").json()
    demo.keep_receipt(ada, document["receipt"], kind="access")
    entries = [row["content"] for row in document["data"]["entries"]]
    uses = [entry for entry in entries if entry["record"]["act"] == "comparison"]
    demo.secrets += [text_needle(f"salt {number} of Ada", entry["salt"]) for number, entry in enumerate(entries)]
    demo.narrator.check(f"it has each of {len(ada.comparisons)} uses", passed=len(uses) == len(ada.comparisons))
    demo.ada_use = uses[0]


def withdraw_ada(demo: DemoState) -> None:
    """Ada withdraws. No reason, no waiting: the key is destroyed before the answer is sent."""
    ada = demo.ada
    withdrawn = ada.client.call("DELETE", f"/v1/me/consents/{ada.consent_id}").json()
    demo.keep_receipt(ada, withdrawn["receipt"], kind="consent_withdrawn")
    photo = PhotoFile.load(demo.photos.ada_at_the_door)
    demo.check_common_refusal(ada.subject_ref, photo, reason="unknown, or withdrawn")


def erase_ada(demo: DemoState) -> None:
    """Ada erases all data about her. Her token ends at once."""
    _erase(demo, demo.ada, demo.photos.ada_at_the_door)


def erase_ben(demo: DemoState) -> None:
    """Ben erases his data too, without withdrawing first."""
    _erase(demo, demo.ben, demo.photos.ben_enrols[0])


def _erase(demo: DemoState, person: Person, photo: str) -> None:
    erased = person.client.call("DELETE", "/v1/me").json()
    demo.keep_receipt(person, erased["receipt"], kind="erasure")
    status = erased["status"]
    demo.narrator.check("the erasure is completed, not promised", passed=status == "completed", result=status)
    for kept in erased["kept"]:
        demo.narrator.note(f"kept: {kept['what']}: {kept['holds']}; {kept['why']}")
    person.client.call("GET", "/v1/me", expect=401, slug="unauthenticated")
    person.client.token = None
    person.client.call("GET", f"/v1/erasures/{erased['erasure_id']}")
    demo.check_common_refusal(person.subject_ref, PhotoFile.load(photo), reason="unknown, or erased")


def scan_after_erasure(demo: DemoState) -> None:
    """Is it true? Every byte that the service wrote is searched again."""
    leaf = Needle.of(LEAF, [bytes.fromhex(demo.wallet.receipts[0].leaf)])
    result = demo.scan(text_needle(NAME, PARTY), leaf)
    control = result.found(NAME) and result.found(LEAF)
    demo.narrator.check(f"the search can find things: it finds {NAME}, and {LEAF}", passed=control)
    needles = [*demo.secrets, *demo.identifiers]
    demo.check_absent(result, needles, "no name, token, photo, reference, receipt or id of Ada or Ben is left")


def stop_service(demo: DemoState) -> None:
    """The service is stopped, and its files are searched once more."""
    demo.narrator.request("SIGTERM")
    code = demo.service.stop()
    demo.narrator.check("it exits 0", passed=code == 0, result=f"exit code {code}")
    scan_after_erasure(demo)
