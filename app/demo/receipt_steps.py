"""Part four: the service is gone, and the receipts alone prove each step of the story."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import httpx

from app.demo.command_line import CommandResult, can_connect, find_offline_prefix, run_mien
from app.demo.narrator import shorten
from app.demo.receipt_wallet import StoredReceipt
from app.demo.state import DemoState


def remove_service(demo: DemoState) -> None:
    """The files of the service are removed. The receipts, the key file and the fingerprint are left."""
    root = demo.service.root
    demo.service.remove_files()
    left = sorted(path.name for path in root.iterdir()) if root.exists() else []
    demo.narrator.check("its directories are gone", passed=not left, result=str(left))
    try:
        status = demo.ada.client.http.get("/livez").status_code
    except httpx.TransportError:
        status = None
    demo.narrator.check("no service answers at its address", passed=status is None, result=str(status))


def verify_receipts(demo: DemoState) -> None:
    """Another party verifies the receipts, each in its own process, in an empty directory."""
    prefix = find_offline_prefix()
    if prefix:
        demo.narrator.check("its network is off: it cannot even reach this machine", passed=not can_connect(prefix))
    else:
        demo.narrator.note("Its network stays on: this machine does not permit `unshare --net`.")
    receipts, wallet = demo.wallet.receipts, demo.wallet
    options = f"--jwks {wallet.keys.name} --fingerprint={shorten(wallet.fingerprint)}"
    demo.narrator.request(" ".join([*prefix, "mien verify-receipt", receipts[0].file.name, options]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda receipt: _verify(demo, receipt, prefix), receipts)
        for receipt, done in zip(receipts, results, strict=True):
            found = done.output
            facts = (done.code, found.get("kind"), found.get("logged"), found.get("pinned"))
            act = f"{receipt.owner}: {receipt.kind.replace('_', ' ')}, {found.get('event_time')}"
            proven = facts == (0, receipt.kind, "proven", True)
            demo.narrator.check(
                f"{act}: signed, and in the transparency log", passed=proven, result=str(found or done.error)
            )


def refuse_changed_receipt(demo: DemoState) -> None:
    """One byte of a receipt is changed."""
    receipt = demo.wallet.receipts[0]
    content = bytearray(receipt.file.read_bytes())
    place = content.index(b".") + 100
    content[place] = ord("B") if content[place] == ord("A") else ord("A")
    changed = receipt.file.with_name("changed.json")
    changed.write_bytes(content)
    done = _verify(demo, replace(receipt, file=changed), find_offline_prefix())
    reason = str(done.output.get("reason", done.error))
    refused = done.code == 1 and not done.output.get("valid", True)
    demo.narrator.check(f"refused: {reason}", passed=refused, result=reason)


def _verify(demo: DemoState, receipt: StoredReceipt, prefix: Sequence[str]) -> CommandResult:
    # A fingerprint may begin with a dash, so it follows an equals sign.
    options = ("--jwks", str(demo.wallet.keys), f"--fingerprint={demo.wallet.fingerprint}")
    return run_mien("verify-receipt", str(receipt.file), *options, prefix=prefix)
