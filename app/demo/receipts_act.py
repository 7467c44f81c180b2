"""Act four: the service is gone, and the receipts alone prove each step of the story."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import httpx

from app.demo.command_line import Done, mien, offline, reaches_us
from app.demo.narrator import short
from app.demo.receipt_wallet import Kept
from app.demo.scene import Scene


def the_service_is_gone(scene: Scene) -> None:
    """Take everything away that the service wrote."""
    scene.teller.step("Its files are taken away. What is left are the receipts, the key file and the fingerprint.")
    scene.stage.take_away()
    left = sorted(one.name for one in scene.stage.root.iterdir()) if scene.stage.root.exists() else []
    scene.teller.check("its directories are gone", held=not left, came=str(left))
    try:
        answered = scene.ada.caller.http.get("/livez").status_code
    except httpx.TransportError:
        answered = None
    scene.teller.check("no service answers there", held=answered is None, came=str(answered))


def receipts_prove_each_step(scene: Scene) -> None:
    """Check each receipt in a process of its own that has nothing else."""
    scene.teller.step("Somebody else checks them, each in another process, in an empty directory.")
    behind = offline()
    if behind:
        scene.teller.check("its network is off: it cannot even reach this machine", held=not reaches_us(behind))
    else:
        scene.teller.note("Its network stays on: this machine does not permit `unshare --net`.")
    kept = scene.holder.receipts
    scene.teller.sent(" ".join([*behind, "mien", "verify-receipt", *_options(scene, kept[0].file.name)]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for one, done in zip(kept, pool.map(lambda one: _checked(scene, one, behind), kept), strict=True):
            said = done.printed
            shows = (done.code, said.get("kind"), said.get("logged"), said.get("pinned"))
            what = f"{one.owner}: {one.kind.replace('_', ' ')}, {said.get('event_time')}"
            proven = shows == (0, one.kind, "proven", True)
            scene.teller.check(f"{what}: signed, and in the log", held=proven, came=str(said or done.trouble))


def a_changed_byte_is_refused(scene: Scene) -> None:
    """Change one byte of a receipt, and check it again."""
    scene.teller.step("And if somebody changes a receipt, be it by one byte?")
    one = scene.holder.receipts[0]
    content = bytearray(one.file.read_bytes())
    at = content.index(b".") + 100
    content[at] = ord("B") if content[at] == ord("A") else ord("A")
    forged = one.file.with_name("changed.json")
    forged.write_bytes(content)
    done = _checked(scene, Kept(forged, one.owner, one.kind, one.leaf), offline())
    reason = str(done.printed.get("reason", done.trouble))
    scene.teller.check(f"refused: {reason}", held=done.code == 1 and not done.printed.get("valid", True), came=reason)


def _checked(scene: Scene, one: Kept, behind: Sequence[str]) -> Done:
    fingerprint = scene.holder.fingerprint
    # A fingerprint may begin with a dash.
    options = (str(one.file), "--jwks", str(scene.holder.keys), f"--fingerprint={fingerprint}")
    return mien("verify-receipt", *options, behind=behind)


def _options(scene: Scene, name: str) -> list[str]:
    return [name, "--jwks", scene.holder.keys.name, f"--fingerprint={short(scene.holder.fingerprint)}"]
