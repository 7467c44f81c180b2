"""The story, step by step; every step is a check."""

import time
from collections.abc import Callable, Sequence
from subprocess import SubprocessError

import httpx
from rich.console import Console

from app.demo import consent_act, erasure_act, log_act, receipts_act, verification_act
from app.demo.http_client import Caller
from app.demo.narrator import StepFailedError, Teller
from app.demo.people import Cast
from app.demo.receipt_wallet import Holder
from app.demo.scene import Person, Scene
from app.demo.service_process import LOG_INTERVAL_S, Stage, StageError

ANSWER_S = 60.0
"""Seconds that one answer may take."""

FAULTS = (StageError, SubprocessError, httpx.HTTPError, LookupError, TypeError, ValueError)
"""What comes when there is no answer, or one in which a field of the contract is missing."""

Step = Callable[[Scene], None]

ACTS: Sequence[tuple[str, Sequence[Step]]] = (
    (
        "Saying yes",
        (
            log_act.fingerprint_is_noted,
            consent_act.relying_party_is_added,
            consent_act.anybody_sees_who_may_ask,
            consent_act.ada_registers,
            consent_act.ada_reads_the_notice,
            consent_act.nothing_happens_unasked,
            consent_act.ada_consents,
            consent_act.ada_enrols,
            consent_act.files_hold_no_clear_trace,
            log_act.a_witness_begins,
        ),
    ),
    (
        "Being asked",
        (
            verification_act.ada_is_recognised,
            verification_act.somebody_else_is_not,
            verification_act.a_group_is_refused,
            verification_act.ben_cannot_borrow_a_consent,
            verification_act.an_unknown_reference_is_refused_unseen,
            verification_act.ben_says_no,
            verification_act.nobody_is_told_apart,
            verification_act.look_alike_is_let_in,
            verification_act.ada_stops_all_use,
        ),
    ),
    (
        "Leaving",
        (
            erasure_act.ada_reads_her_log,
            erasure_act.ada_corrects_her_name,
            erasure_act.ada_asks_for_everything,
            erasure_act.ada_withdraws,
            erasure_act.everybody_leaves,
            erasure_act.nothing_is_left,
        ),
    ),
    (
        "Proving it",
        (
            log_act.proofs_are_fetched,
            log_act.a_use_is_in_the_log,
            log_act.the_witness_looks_again,
            erasure_act.the_service_stops,
            receipts_act.the_service_is_gone,
            receipts_act.receipts_prove_each_step,
            receipts_act.a_changed_byte_is_refused,
        ),
    ),
)


def play(*, console: Console, keep: bool = False, cast: Cast | None = None) -> bool:
    """Play the story on *console* against a service started for it, and say whether every step held.

    Args:
        console: where it is told.
        keep: leave the service's directories where they are, to look at.
        cast: the photo for each role; the demo's own when not given.
    """
    began = time.monotonic()
    teller = Teller(console)
    teller.note("Mien: the face you choose to show. Every face here is synthetic: none of these people exists.")
    with (
        Stage(keep=keep) as stage,
        Holder(keep=keep) as holder,
        httpx.Client(base_url=stage.url, timeout=ANSWER_S, trust_env=False) as http,
    ):
        held = _told(_scene(teller, stage, holder, http, cast or Cast()), console)
    if keep:
        wrote = stage.root if stage.root.exists() else stage.kept_at
        teller.note(f"Kept, to look at: {wrote} and {holder.root}")
    if held:
        teller.act("The end")
        teller.note(f"{teller.steps} steps, {teller.checks} checks, all held; {time.monotonic() - began:.1f} s.")
    return held


def _told(scene: Scene, console: Console) -> bool:
    teller, stage = scene.teller, scene.stage
    try:
        _raise_curtain(teller, stage, console)
        for title, steps in ACTS:
            teller.act(title)
            for step in steps:
                step(scene)
    except StepFailedError as failure:
        teller.failed(failure, stage.log_tail())
    except FAULTS as fault:
        came = f"{type(fault).__name__}: {fault}"
        teller.failed(StepFailedError("the service runs, and answers as the contract says", came), stage.log_tail())
    else:
        return True
    return False


def _raise_curtain(teller: Teller, stage: Stage, console: Console) -> None:
    teller.note(
        "A service is started for it, with empty directories of its own. New lines join its log every"
        f" {LOG_INTERVAL_S} seconds instead of every ten minutes, to keep this story short."
    )
    stage.start()
    with console.status("starting") as status:
        ready = stage.wait_ready(lambda seconds: status.update(f"loading the face engine: {seconds:.0f} s"))
    teller.check(
        f"ready at {stage.url}: profile {ready['profile']}, engine {ready['engine']},"
        f" sandbox of its workers {ready['sandbox']['level']}, keys protected by {ready['key_protection']}",
        held=ready["status"] == "ready",
        came=str(ready),
    )


def _scene(teller: Teller, stage: Stage, holder: Holder, http: httpx.Client, cast: Cast) -> Scene:
    def client() -> Caller:
        return Caller(http, teller)

    ada, ben = Person("Ada Example-Person", client()), Person("Ben Example-Person", client())
    return Scene(stage=stage, holder=holder, teller=teller, cast=cast, door=client(), ada=ada, ben=ben)
