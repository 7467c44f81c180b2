"""Run one operation to its end, kill it at each step and after its answer, and inspect the stores each time."""

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from app.jobs.maintenance import purge_dead_rows
from app.kit.crash_points import UNNAMED
from app.transparency.log import batch
from app.vault.open import open_vault
from tests.crash import log_files, observed_state, page
from tests.crash.key_and_backup_files import unfinished
from tests.crash.operations import Operation, OperatorCommand
from tests.crash.preparations import Story
from tests.crash.process_launcher import MOMENT, LaunchedProcess, Passed, ProcessLauncher, Spot, StoppedClock, Trial
from tests.support import service_fixture
from tests.support.byte_scan import rows
from tests.support.toy_engine import toy_card
from tests.support.waiting import wait_until

KnownAnswers = Callable[[observed_state.Stored], Any]
"""Returns the known answers for a stored state; None if they are not known."""
RESTORED = re.compile(r": (restorations|left_histories): ")
OPEN_ENTRIES = "open entries"
PLACED = ("/files/", "/log/")
"""Parts of a state in which an operation in progress may differ from both ends."""
CREDENTIALS = {"access_token": "/v1/me", "api_key": "/v1/relying-party", "recovery_code": ""}
"""Credentials that an answer may have, and the path that each opens. A recovery code is exchanged for new ones."""


@dataclass
class Workbench:
    """One operation, ready for any number of trials."""

    launcher: ProcessLauncher
    operation: Operation
    template: Path
    story: Story
    scratch: Path

    @property
    def moment(self) -> datetime:
        """When the operation happens."""
        return MOMENT + self.operation.delay

    def trial(self, *, kill_at: Spot | None = None, recording: bool = False) -> Trial:
        """Return a trial on a fresh copy of the state before."""
        root = Path(tempfile.mkdtemp(dir=self.scratch)) / "service"
        return Trial(service_fixture.copied(self.template, root), self.moment, kill_at, recording)

    def begin(self, trial: Trial) -> LaunchedProcess:
        """Start the process of a trial: the service, or the command itself."""
        act = self.operation.act
        if isinstance(act, OperatorCommand):
            return self.launcher.command(trial, act.command, self.story.about)
        return self.launcher.service(trial, **self.operation.more)

    def act(self, process: LaunchedProcess) -> dict[str, Any] | None:
        """Carry out the operation. Returns the answer, or None if the process died first."""
        act = self.operation.act
        try:
            if isinstance(act, OperatorCommand):
                return process.receive() or {}
            answer = act(self.story.at(process.client))
        except (EOFError, ConnectionError, httpx.TransportError):
            return None
        assert answer.is_success != self.operation.refused, answer.text
        return answer.json() if answer.content else {}


def prepared_for(operation: Operation, launcher: ProcessLauncher, prepared: Path, scratch: Path) -> Workbench:
    """Bring a service to the state that *operation* begins with."""
    template = service_fixture.copied(prepared, scratch / "template")
    with service_fixture.serving(
        template, service_fixture.ToyPool(), toy_card(), clock=StoppedClock(MOMENT), **operation.more
    ) as service:
        # Earlier leaves join the tree; leaves of the story are pending. The clock is stopped: no further batch is
        # due, neither then nor during the operation.
        batch.append_batch(service.vault, settings=service.settings, now=MOMENT, at_once=True)
        story = operation.prepare(service)
        batch.append_batch(service.vault, settings=service.settings, now=MOMENT + operation.delay)
    operation.change_files(template)
    (scratch / "trials").mkdir()
    return Workbench(launcher, operation, template, story, scratch / "trials")


def trace(workbench: Workbench) -> tuple[list[Passed], Path]:
    """Carry out the operation without interruption. Returns the steps that it passed, and the root of its stores."""
    trial = workbench.trial(recording=True)
    with workbench.begin(trial) as process:
        assert workbench.act(process) is not None
        return process.finish(), trial.root


def unstepped(passed: list[Passed]) -> list[str]:
    """Return the durable effects that no step separates, and those that belong to no operation."""
    found = []
    for one in passed:
        if one.spot is None:
            # Closing a database empties its write-ahead log, which changes no row.
            found += [
                f"{effect} after the last step" for effect in one.effects if not effect.startswith("write-ahead log of")
            ]
        else:
            found += [f"{effect} beside another, before {one.spot}" for effect in one.effects[1:]]
            found += [f"{effect} in no operation" for effect in one.effects if one.spot.operation == UNNAMED]
    return found


@dataclass(frozen=True)
class Inspection:
    """The state after a restart."""

    http: Any
    stored: observed_state.Stored

    def state(self, known: set[str], *, appends_batch: bool) -> Any:
        """Return the state without random values; *known* are values from before."""
        return {
            "http": observed_state.comparable(self.http, known),
            **written(self.stored, known, appends_batch=appends_batch),
        }


def written(stored: observed_state.Stored, known: set[str], *, appends_batch: bool) -> dict[str, Any]:
    """Return the content of the files, without the parts that differ between two runs of one operation."""
    return {
        "rows": observed_state.comparable(stored.tables, known),
        "files": observed_state.comparable(stored.files, known),
        "log": {} if appends_batch else stored.log.leaf_places(),
    }


def inspect(
    workbench: Workbench, root: Path, before: observed_state.Stored | None = None, receive: KnownAnswers | None = None
) -> Inspection:
    """Start the service on the stores and read everything; then check that a second start has nothing left to do.

    Answers follow from the stored state: *receive* returns the answers of a state that was read before.
    """
    if not (root / observed_state.DATA).exists():
        return Inspection("there is no data", observed_state.LOST)
    with workbench.launcher.service(
        Trial(root, workbench.moment, delivers_callbacks=False), **workbench.operation.more, sweep_interval_s=0.2
    ) as process:
        # An erasure completes by itself.
        wait_until(lambda: not rows(root / observed_state.DATA, "SELECT id FROM erasures WHERE step <> 'completed'"))
        stored = read_checked(workbench, root, before)
        http = None if receive is None else receive(stored)
        http = http or observed_state.over_http(workbench.story.at(process.client))
        process.kill()
    settings = service_fixture.settings_for(root)
    vault = open_vault(settings)
    assert purge_dead_rows(vault, settings=settings, now=workbench.moment) == 0, "the first start left dead rows"
    vault.close()
    return Inspection(http, stored)


def read_checked(workbench: Workbench, root: Path, before: observed_state.Stored | None) -> observed_state.Stored:
    """Read the files, and check their invariants."""
    stored = observed_state.stored(root)
    faults = observed_state.faults(root, stored, before or stored)
    faults += observed_state.bytes_left(
        root, stored, before or stored, sealed_bytes_stay=workbench.operation.sealed_bytes_stay
    )
    assert not faults
    return stored


def copied_beside(root: Path) -> Path:
    """Copy the stores that a killed process left."""
    return service_fixture.copied(root, root.with_name(f"{root.name}-copy"))


class AllowedStates:
    """The two allowed states: before and after the operation."""

    def __init__(self, workbench: Workbench, done: Path) -> None:
        self._bench = workbench
        # These leaves must stay; each start adds different leaves.
        log = observed_state.logged(workbench.trial().root)
        self._stored = replace(inspect(workbench, workbench.trial().root).stored, log=log)
        self._known = observed_state.known(self._stored)
        self._answers: dict[str, Any] = {}
        self._before, self._after = (self._inspected(root) for root in (workbench.trial().root, done))

    def _files(self, stored: observed_state.Stored) -> dict[str, Any]:
        return written(stored, self._known, appends_batch=self._bench.operation.appends_batch)

    def _written(self, stored: observed_state.Stored) -> str:
        return json.dumps(self._files(stored), sort_keys=True)

    def _inspected(self, root: Path) -> Any:
        found = inspect(self._bench, root, self._stored)
        self._answers[self._written(found.stored)] = found.http
        return found.state(self._known, appends_batch=self._bench.operation.appends_batch)

    def outcome(self, root: Path, spot: Spot) -> str:
        """Return the allowed state that the stores are in."""
        self._check_repeated(root)
        receive = None if spot == page.ANSWERED else lambda stored: self._answers.get(self._written(stored))
        found = inspect(self._bench, root, self._stored, receive)
        state = found.state(self._known, appends_batch=self._bench.operation.appends_batch)
        apart = [observed_state.differences(state, end) for end in (self._before, self._after)]
        on_the_way = any(all(one.startswith(PLACED) for one in differs) for differs in apart)
        if all(apart) and on_the_way and self._bench.operation.in_progress:
            return self._bench.operation.in_progress
        assert not all(apart), "\n".join([f"{spot}: it is not as before:", *apart[0], "and not as after:", *apart[1]])
        spare = ", and an unused key" if found.stored.spare - self._stored.spare else ""
        half = ", and an unfinished copy that the next backup removes" if unfinished(root) else ""
        return ("before" if apart[1] else "after") + spare + half

    def _check_repeated(self, root: Path) -> None:
        """Check that the same command, run again instead of a restart, completes."""
        command = self._bench.operation.again
        if command is None:
            return
        trial = Trial(copied_beside(root), self._bench.moment)
        with self._bench.launcher.command(trial, command, self._bench.story.about) as process:
            process.receive()
            process.finish()
        state = self._files(read_checked(self._bench, trial.root, self._stored))
        found = [
            one
            for part in state
            for one in observed_state.differences(unrestored(state[part]), unrestored(self._after[part]), f"/{part}")
        ]
        # The restore is recorded, and the service has not started since.
        apart = [one for one in found if not RESTORED.search(one)]
        assert not apart, "\n".join(["done again, it is not as after:", *apart])
        assert not unfinished(trial.root)


def unrestored(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a state without the entries that record a restore."""
    if OPEN_ENTRIES not in part:
        return part
    return part | {OPEN_ENTRIES: [one for one in part[OPEN_ENTRIES] if one["act"] != "restored"]}


def killed_at(spot: Spot, workbench: Workbench, allowed: AllowedStates) -> page.Row:
    """Run the operation once, with a kill at *spot*."""
    trial = workbench.trial(kill_at=spot)
    with workbench.begin(trial) as process:
        answer = workbench.act(process)
        process.killed()
    answered, outcome = answer is not None, allowed.outcome(trial.root, spot)
    assert outcome.startswith("after") or not answered
    assert kept(answer or {}, trial.root)
    # There are many trials, and memory may be small.
    shutil.rmtree(trial.root.parent)
    return page.Row(workbench.operation.name, spot, answered or workbench.operation.acknowledged, outcome)


def killed_after_the_answer(workbench: Workbench, allowed: AllowedStates) -> page.Row:
    """Run the operation once, and kill the process after its answer, which must hold."""
    trial = workbench.trial()
    with workbench.begin(trial) as process:
        answer = workbench.act(process)
        assert answer is not None
        process.kill()
    if answer.keys() & CREDENTIALS.keys():
        copy = service_fixture.copied(trial.root, trial.root.with_name(f"{trial.root.name}-answered"))
        with workbench.launcher.service(Trial(copy, workbench.moment), **workbench.operation.more) as process:
            assert stands(answer, process.client)
    outcome = allowed.outcome(trial.root, page.ANSWERED)
    assert outcome == "after", outcome
    assert kept(answer, trial.root)
    return page.Row(workbench.operation.name, page.ANSWERED, answered=True, outcome=outcome)


def kept(answer: dict[str, Any], root: Path) -> bool:
    """Return whether the transparency log has the leaf that an answered receipt promised, or will have it."""
    return not answer.get("receipt") or log_files.promised(answer) <= observed_state.logged(root).leaves


def stands(answer: dict[str, Any], client: httpx.Client) -> bool:
    """Return whether every credential in the answer works."""
    asked = [
        client.get(path, headers={"Authorization": f"Bearer {answer[name]}"})
        if path
        else client.post("/v1/recoveries", json={name: answer[name]})
        for name, path in CREDENTIALS.items()
        if name in answer
    ]
    return all(one.is_success for one in asked)
