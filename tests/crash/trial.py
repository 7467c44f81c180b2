"""Try one operation again and again: to its end, to each of its steps, past its answer; and look at what is left."""

import json
import re
import shutil
import tempfile
import time
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
from tests.crash.operations import Operation, Order
from tests.crash.preparations import Story
from tests.crash.process_launcher import MOMENT, Child, Nursery, Passed, Spot, StoppedClock, Trial
from tests.support import service_fixture
from tests.support.byte_scan import rows
from tests.support.toy_engine import toy_card

Answers = Callable[[observed_state.Stored], Any]
"""What was answered when this was stored, if that is known."""
PATIENCE_S = 120.0
RESTORED = re.compile(r": (restorations|left_histories): ")
NOBODYS = "entries about nobody"
PLACED = ("/files/", "/log/")
"""Where the state of what is under way differs from its ends."""
WAYS = {"access_token": "/v1/me", "api_key": "/v1/relying-party", "recovery_code": ""}
"""Ways in that may be answered, and what each opens; the last one is changed for others."""


@dataclass
class Bench:
    """One operation, ready to be tried again and again."""

    nursery: Nursery
    operation: Operation
    template: Path
    story: Story
    scratch: Path

    @property
    def moment(self) -> datetime:
        """When the operation happens."""
        return MOMENT + self.operation.later

    def trial(self, *, deadly: Spot | None = None, recording: bool = False) -> Trial:
        """Return a trial on a fresh copy of the state before."""
        root = Path(tempfile.mkdtemp(dir=self.scratch)) / "service"
        return Trial(service_fixture.copied(self.template, root), self.moment, deadly, recording)

    def begin(self, trial: Trial) -> Child:
        """Have a child ready for the act, or at it."""
        act = self.operation.act
        if isinstance(act, Order):
            return self.nursery.command(trial, act.command, self.story.about)
        return self.nursery.service(trial, **self.operation.more)

    def act(self, child: Child) -> dict[str, Any] | None:
        """Carry the operation out; returns what was answered, None if the child died first."""
        act = self.operation.act
        try:
            if isinstance(act, Order):
                return child.heard() or {}
            answer = act(self.story.at(child.client))
        except (EOFError, ConnectionError, httpx.TransportError):
            return None
        assert answer.is_success != self.operation.refused, answer.text
        return answer.json() if answer.content else {}


def prepared_for(operation: Operation, nursery: Nursery, prepared: Path, scratch: Path) -> Bench:
    """Bring a service to the state that *operation* begins with."""
    template = service_fixture.copied(prepared, scratch / "template")
    with service_fixture.serving(
        template, service_fixture.ToyPool(), toy_card(), clock=StoppedClock(MOMENT), **operation.more
    ) as service:
        # What was there before is in the tree, what the story brings waits. The clock stands still, and no batch more
        # is due: neither then nor when the operation happens.
        batch.append_batch(service.vault, now=MOMENT, at_once=True)
        story = operation.prepare(service)
        batch.append_batch(service.vault, now=MOMENT + operation.later)
    operation.left(template)
    (scratch / "trials").mkdir()
    return Bench(nursery, operation, template, story, scratch / "trials")


def trace(bench: Bench) -> tuple[list[Passed], Path]:
    """Carry the operation out without interruption; returns what it passed, and what it left."""
    trial = bench.trial(recording=True)
    with bench.begin(trial) as child:
        assert bench.act(child) is not None
        return child.finish(), trial.root


def unstepped(passed: list[Passed]) -> list[str]:
    """Name each durable effect that no step tells from another, and each that belongs to no operation."""
    found = []
    for one in passed:
        if one.spot is None:
            # Closing a database empties its log, which changes nothing that anybody reads.
            found += [f"{effect} after the last step" for effect in one.effects if not effect.startswith("log of")]
        else:
            found += [f"{effect} beside another, before {one.spot}" for effect in one.effects[1:]]
            found += [f"{effect} in no operation" for effect in one.effects if one.spot.operation == UNNAMED]
    return found


@dataclass(frozen=True)
class Look:
    """What a restart showed."""

    http: Any
    stored: observed_state.Stored

    def state(self, known: set[str], *, joins: bool) -> Any:
        """Return it without what differs between two runs of the same; *known* is what was there before."""
        return {"http": observed_state.comparable(self.http, known), **written(self.stored, known, joins=joins)}


def written(stored: observed_state.Stored, known: set[str], *, joins: bool) -> dict[str, Any]:
    """Return what lies in the files, without what differs between two runs of the same."""
    return {
        "rows": observed_state.comparable(stored.tables, known),
        "files": observed_state.comparable(stored.files, known),
        "log": {} if joins else stored.log.placed(),
    }


def look(bench: Bench, root: Path, before: observed_state.Stored | None = None, heard: Answers | None = None) -> Look:
    """Start the service on what was left and look at everything; then start once more, with nothing left to do.

    What is answered follows from what is stored: where that is as it was another time, *heard* has the answers.
    """
    if not (root / observed_state.DATA).exists():
        return Look("there is no data", observed_state.NOTHING)
    with bench.nursery.service(
        Trial(root, bench.moment, telling=False), **bench.operation.more, sweep_interval_s=0.2
    ) as child:
        assert completed_soon(root), "an erasure did not come to its end by itself"
        stored = sound(bench, root, before)
        http = None if heard is None else heard(stored)
        http = http or observed_state.over_http(bench.story.at(child.client))
        child.kill()
    vault = open_vault(service_fixture.settings_for(root))
    assert purge_dead_rows(vault, now=bench.moment) == 0, "the first start left something to the second"
    vault.data.close()
    vault.register.store.close()
    return Look(http, stored)


def sound(bench: Bench, root: Path, before: observed_state.Stored | None) -> observed_state.Stored:
    """Read the files, and see that nothing is in them that must never be."""
    stored = observed_state.stored(root)
    faults = observed_state.faults(root, stored, before or stored)
    faults += observed_state.bytes_left(root, stored, before or stored, noise_stays=bench.operation.noise_stays)
    assert not faults
    return stored


def copied_beside(root: Path) -> Path:
    """Copy what a killed process left."""
    return service_fixture.copied(root, root.with_name(f"{root.name}-copy"))


def completed_soon(root: Path) -> bool:
    """Wait until no erasure is under way."""
    until = time.monotonic() + PATIENCE_S
    while rows(root / observed_state.DATA, "SELECT id FROM erasures WHERE step <> 'completed'"):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


class Ends:
    """The two states that are allowed."""

    def __init__(self, bench: Bench, done: Path) -> None:
        self._bench = bench
        # No leaf of these is ever lost; those that a start brings differ from one to the next.
        log = observed_state.logged(bench.trial().root)
        self._stored = replace(look(bench, bench.trial().root).stored, log=log)
        self._known = observed_state.known(self._stored)
        self._heard: dict[str, Any] = {}
        self._before, self._after = (self._looked(root) for root in (bench.trial().root, done))

    def _files(self, stored: observed_state.Stored) -> dict[str, Any]:
        return written(stored, self._known, joins=self._bench.operation.joins)

    def _written(self, stored: observed_state.Stored) -> str:
        return json.dumps(self._files(stored), sort_keys=True)

    def _looked(self, root: Path) -> Any:
        found = look(self._bench, root, self._stored)
        self._heard[self._written(found.stored)] = found.http
        return found.state(self._known, joins=self._bench.operation.joins)

    def outcome(self, root: Path, spot: Spot) -> str:
        """Say which of the two was found."""
        self._carried_out_again(root)
        heard = None if spot == page.ANSWERED else lambda stored: self._heard.get(self._written(stored))
        found = look(self._bench, root, self._stored, heard)
        state = found.state(self._known, joins=self._bench.operation.joins)
        apart = [observed_state.differences(state, end) for end in (self._before, self._after)]
        on_the_way = any(all(one.startswith(PLACED) for one in differs) for differs in apart)
        if all(apart) and on_the_way and self._bench.operation.under_way:
            return self._bench.operation.under_way
        assert not all(apart), "\n".join([f"{spot}: it is not as before:", *apart[0], "and not as after:", *apart[1]])
        spare = ", and a key that seals nothing" if found.stored.spare - self._stored.spare else ""
        half = ", and an unfinished copy that the next one removes" if unfinished(root) else ""
        return ("before" if apart[1] else "after") + spare + half

    def _carried_out_again(self, root: Path) -> None:
        """See that the same command, given once more instead of a restart, comes to its end."""
        command = self._bench.operation.again
        if command is None:
            return
        trial = Trial(copied_beside(root), self._bench.moment)
        with self._bench.nursery.command(trial, command, self._bench.story.about) as child:
            child.heard()
            child.finish()
        state = self._files(sound(self._bench, trial.root, self._stored))
        found = [
            one
            for part in state
            for one in observed_state.differences(unrestored(state[part]), unrestored(self._after[part]), f"/{part}")
        ]
        # That it was restored is written down, and nobody has started the service since.
        apart = [one for one in found if not RESTORED.search(one)]
        assert not apart, "\n".join(["done again, it is not as after:", *apart])
        assert not unfinished(trial.root)


def unrestored(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of a state without the entries that the data was restored."""
    if NOBODYS not in part:
        return part
    return part | {NOBODYS: [one for one in part[NOBODYS] if one["act"] != "restored"]}


def killed_at(spot: Spot, bench: Bench, ends: Ends) -> page.Line:
    """Try the operation once, and let the process die at *spot*."""
    trial = bench.trial(deadly=spot)
    with bench.begin(trial) as child:
        answer = bench.act(child)
        child.killed()
    answered, outcome = answer is not None, ends.outcome(trial.root, spot)
    assert outcome.startswith("after") or not answered
    assert kept(answer or {}, trial.root)
    # They are many, and memory may be little.
    shutil.rmtree(trial.root.parent)
    return page.Line(bench.operation.name, spot, answered or bench.operation.acknowledged, outcome)


def killed_after_the_answer(bench: Bench, ends: Ends) -> page.Line:
    """Try the operation once, and kill the process when it has answered: the answer stands."""
    trial = bench.trial()
    with bench.begin(trial) as child:
        answer = bench.act(child)
        assert answer is not None
        child.kill()
    if answer.keys() & WAYS.keys():
        copy = service_fixture.copied(trial.root, trial.root.with_name(f"{trial.root.name}-answered"))
        with bench.nursery.service(Trial(copy, bench.moment), **bench.operation.more) as child:
            assert stands(answer, child.client)
    outcome = ends.outcome(trial.root, page.ANSWERED)
    assert outcome == "after", outcome
    assert kept(answer, trial.root)
    return page.Line(bench.operation.name, page.ANSWERED, answered=True, outcome=outcome)


def kept(answer: dict[str, Any], root: Path) -> bool:
    """Say whether the log has what an answered receipt promised, or will have it."""
    return not answer.get("receipt") or log_files.promised(answer) <= observed_state.logged(root).leaves


def stands(answer: dict[str, Any], client: httpx.Client) -> bool:
    """Say whether every way in that was answered opens."""
    asked = [
        client.get(path, headers={"Authorization": f"Bearer {answer[name]}"})
        if path
        else client.post("/v1/recoveries", json={name: answer[name]})
        for name, path in WAYS.items()
        if name in answer
    ]
    return all(one.is_success for one in asked)
