"""The story, step by step; every step is a check."""

import time
from collections.abc import Callable, Sequence
from subprocess import SubprocessError

import httpx
from rich.console import Console

from app.demo import asking, giving, leaving, logged, proving
from app.demo.caller import Caller
from app.demo.cast import Cast
from app.demo.holder import Holder
from app.demo.scene import Person, Scene
from app.demo.stage import LOG_INTERVAL_S, Stage, StageError
from app.demo.teller import StepFailedError, Teller

ANSWER_S = 60.0
"""Seconds that one answer may take."""

FAULTS = (StageError, SubprocessError, httpx.HTTPError, LookupError, TypeError, ValueError)
"""What comes when there is no answer, or one in which a field of the contract is missing."""

Step = Callable[[Scene], None]

ACTS: Sequence[tuple[str, Sequence[Step]]] = (
    (
        "Saying yes",
        (
            logged.fingerprint_is_noted,
            giving.relying_party_is_added,
            giving.anybody_sees_who_may_ask,
            giving.ada_registers,
            giving.ada_reads_the_notice,
            giving.nothing_happens_unasked,
            giving.ada_consents,
            giving.ada_enrols,
            giving.files_hold_no_clear_trace,
            logged.a_witness_begins,
        ),
    ),
    (
        "Being asked",
        (
            asking.ada_is_recognised,
            asking.somebody_else_is_not,
            asking.a_group_is_refused,
            asking.ben_cannot_borrow_a_consent,
            asking.an_unknown_reference_is_refused_unseen,
            asking.ben_says_no,
            asking.nobody_is_told_apart,
            asking.look_alike_is_let_in,
            asking.ada_stops_all_use,
        ),
    ),
    (
        "Leaving",
        (
            leaving.ada_reads_her_log,
            leaving.ada_corrects_her_name,
            leaving.ada_asks_for_everything,
            leaving.ada_withdraws,
            leaving.everybody_leaves,
            leaving.nothing_is_left,
        ),
    ),
    (
        "Proving it",
        (
            logged.proofs_are_fetched,
            logged.a_use_is_in_the_log,
            logged.the_witness_looks_again,
            leaving.the_service_stops,
            proving.the_service_is_gone,
            proving.receipts_prove_each_step,
            proving.a_changed_byte_is_refused,
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
        f" {LOG_INTERVAL_S} seconds instead of every ten minutes, so that nobody here has to wait."
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
