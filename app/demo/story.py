"""The story, step by step. The docstring of each step is shown to the audience."""

import inspect
import time
from collections.abc import Callable, Sequence
from subprocess import SubprocessError

import httpx
from rich.console import Console

from app.demo import consent_steps, erasure_steps, log_steps, receipt_steps, verification_steps
from app.demo.http_client import Client
from app.demo.narrator import Narrator, StepFailedError
from app.demo.people import StoryPhotos
from app.demo.receipt_wallet import open_wallet
from app.demo.service_process import LOG_INTERVAL_S, ServiceError, ServiceProcess
from app.demo.state import DemoState, Person

ANSWER_S = 60.0
"""Seconds until a request must be answered."""
FAULTS = (ServiceError, SubprocessError, httpx.HTTPError, LookupError, TypeError, ValueError)
"""Raised if there is no answer, or one without a field of the contract."""

Step = Callable[[DemoState], None]

PARTS: Sequence[tuple[str, Sequence[Step]]] = (
    (
        "Consent",
        (
            log_steps.note_fingerprint,
            consent_steps.add_relying_party,
            consent_steps.list_relying_parties,
            consent_steps.register_ada,
            consent_steps.read_notice,
            consent_steps.enrol_without_consent,
            consent_steps.consent_ada,
            consent_steps.enrol_ada,
            consent_steps.scan_while_enrolled,
            log_steps.start_witness,
        ),
    ),
    (
        "Verification",
        (
            verification_steps.match_ada,
            verification_steps.reject_another_person,
            verification_steps.refuse_group_photo,
            verification_steps.refuse_borrowed_consent,
            verification_steps.refuse_unknown_reference,
            verification_steps.record_bens_refusal,
            verification_steps.hide_that_ben_exists,
            verification_steps.match_look_alike,
            verification_steps.restrict_ada,
        ),
    ),
    (
        "Erasure",
        (
            erasure_steps.list_comparisons,
            erasure_steps.correct_name,
            erasure_steps.read_all_data,
            erasure_steps.withdraw_ada,
            erasure_steps.erase_ada,
            erasure_steps.erase_ben,
            erasure_steps.scan_after_erasure,
        ),
    ),
    (
        "Proof",
        (
            log_steps.fetch_proofs,
            log_steps.find_use_in_log,
            log_steps.run_witness_again,
            erasure_steps.stop_service,
            receipt_steps.remove_service,
            receipt_steps.verify_receipts,
            receipt_steps.refuse_changed_receipt,
        ),
    ),
)


def play(*, console: Console, keep: bool = False, photos: StoryPhotos | None = None) -> bool:
    """Play the story on *console* against a service started for it, and return whether every check passed.

    Args:
        keep: whether the temporary directories are kept.
        photos: by default the demo's own.
    """
    start = time.monotonic()
    narrator = Narrator(console)
    narrator.note("Mien: the face you choose to show. Every face here is synthetic: none of these people exists.")
    with (
        ServiceProcess(keep=keep) as service,
        open_wallet(keep=keep) as wallet,
        httpx.Client(base_url=service.url, timeout=ANSWER_S, trust_env=False) as http,
    ):
        ada, ben = (Person(name, Client(http, narrator)) for name in ("Ada Example-Person", "Ben Example-Person"))
        door = Client(http, narrator)
        demo = DemoState(service, wallet, narrator, photos or StoryPhotos(), door, ada, ben)
        passed = _play_parts(demo, console)
    if keep:
        written = service.root if service.root.exists() else service.kept_at
        narrator.note(f"The files are kept: {written} and {wallet.root}")
    if passed:
        narrator.part("The end")
        seconds = time.monotonic() - start
        narrator.note(f"{narrator.steps} steps, {narrator.checks} checks, all passed; {seconds:.1f} s.")
    return passed


def _play_parts(demo: DemoState, console: Console) -> bool:
    narrator = demo.narrator
    try:
        _start_service(demo, console)
        for title, steps in PARTS:
            narrator.part(title)
            for step in steps:
                narrator.step(" ".join((inspect.getdoc(step) or "").split()))
                step(demo)
    except StepFailedError as error:
        narrator.failure(error, demo.service.log_tail())
    except FAULTS as error:
        failed = StepFailedError("the service runs and answers as documented", f"{type(error).__name__}: {error}")
        narrator.failure(failed, demo.service.log_tail())
    else:
        return True
    return False


def _start_service(demo: DemoState, console: Console) -> None:
    demo.narrator.note(
        "A service is started with empty directories. It appends to its transparency log every"
        f" {LOG_INTERVAL_S} seconds instead of every ten minutes, to keep this story short."
    )
    demo.service.start()
    with console.status("starting") as status:
        ready = demo.service.wait_ready(lambda seconds: status.update(f"loading the face engine: {seconds:.0f} s"))
    demo.narrator.check(
        f"ready at {demo.service.url}: profile {ready['profile']}, engine {ready['engine']},"
        f" sandbox of its workers {ready['sandbox']['level']}, keys protected by {ready['key_protection']}",
        passed=ready["status"] == "ready",
        result=str(ready),
    )
