"""A walk: acts on a service and on its model, compared after each. An interrupted act is complete or undone."""

import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import timedelta
from pathlib import Path

import httpx

from tests.machine import files, observed_state
from tests.machine.acts import GOOD, Act, Body
from tests.machine.acts_of_right import See
from tests.machine.model import Data, Model, Person
from tests.machine.observed_state import DifferenceError
from tests.machine.store_harness import CommandResult, ServedStore

NO_SUCH_CONSENT = "no-such-consent"


def slug_of(response: httpx.Response) -> str:
    """Return the slug of a problem; none of a good answer."""
    return GOOD if response.status_code < 400 else str(response.json()["type"]).rpartition(":")[2]


def body_of(response: httpx.Response | None) -> Body:
    """Return the object in an answer, if there is one."""
    if response is None or not response.content or "json" not in response.headers.get("content-type", ""):
        return {}
    found: Body = response.json()
    return found


class Walk:
    """A served store, its model, and every secret and id that was ever known in it."""

    def __init__(self, store: ServedStore, model: Model) -> None:
        self.store, self.model = store, model
        self.people: list[str] = []
        self.secrets: dict[str, list[str]] = {}
        self.codes: dict[str, list[str]] = {}
        self.consents: dict[str, list[str]] = {}
        self.refs: list[tuple[str, str]] = []
        self.backups: list[tuple[Path, Data]] = []
        self.traces: dict[str, files.Traces] = {}
        self.gone: list[files.Traces] = []
        self.one_answer: set[bytes] = set()
        self.keys = files.Keys(store.root)
        self.deaths: list[str] = []
        self.promised: set[str] = set()
        """Leaves that receipts promise to the transparency log."""
        self.set_clock()
        self.start()

    # --- Serving

    def set_clock(self) -> None:
        """Set the clock of the service to that of the model."""
        self.store.set_clock(self.model.now)

    def start(self, *, kill_at: int = 0) -> None:
        """Start the service, which runs maintenance; repeat a start that is killed."""
        if kill_at:
            self.store.kill_at_step(kill_at)
            self.store.start()
            died = self.store.cancel_kill()
            if died is None:
                self.model.maintain()
                return
            self.deaths.append(died)
            self.store.stop(signal.SIGKILL)
        assert self.store.start(), "the service does not come up"
        self.model.maintain()

    def restart(self, *, by: signal.Signals = signal.SIGTERM, kill_at: int = 0) -> None:
        """End the service and start it again."""
        code = self.store.stop(by)
        assert code in {0, -by, -signal.SIGKILL}
        self.start(kill_at=kill_at)

    def command(self, *argv: str, kill_at: int = 0) -> CommandResult:
        """Run a command of the operator; if it dies, restart the service, as an operator would."""
        if kill_at:
            self.store.kill_at_step(kill_at)
        ended = self.store.run(argv)
        if (died := self.store.cancel_kill()) is not None:
            self.deaths.append(died)
            self.restart()
        assert ended.killed == (died is not None), ended.printed
        return ended

    # --- Acting

    def do(self, act: Act, *, kill_at: int = 0) -> httpx.Response | None:
        """Do an act and compare; *kill_at* kills the process at its step of this number."""
        if kill_at:
            self.store.kill_at_step(kill_at)
        response = self.sent(act)
        died = self.store.cancel_kill()
        if died is not None:
            self.deaths.append(died)
        if response is not None:
            self.answered(self.model, act, response)
            if died is not None:
                self.store.stop()
                self.start()
            self.remember()
            self.look(act.subject(self.model))
            return response
        assert died is not None, "no answer, and no process died"
        self._interrupted(act)
        return None

    def sent(self, act: Act) -> httpx.Response | None:
        """Send a request; None if there is no answer."""
        try:
            response = act.send(self.store.client)
        except httpx.TransportError:
            return None
        if receipt := body_of(response).get("receipt"):
            self.promised.add(receipt["leaf"])
        return response

    def answered(self, model: Model, act: Act, response: httpx.Response) -> None:
        """Compare an answer with the model's, and apply it to the model."""
        observed_state.same(f"answer to {act}", (response.status_code, slug_of(response)), act.foresee(model))
        if response.status_code < 400:
            act.happen(model, body_of(response))
            return
        act.refused(model, slug_of(response))
        if slug_of(response) == NO_SUCH_CONSENT:
            self.one_answer.add(response.content)
            observed_state.same("one answer", len(self.one_answer), 1)

    def _interrupted(self, act: Act) -> None:
        """Restart, and find out whether the state is that before or after the act."""
        subject = act.subject(self.model)
        self.store.stop()
        assert self.store.start(), "the service does not come up after it died"
        label = f"{act}, interrupted at {self.deaths[-1]}"
        self._adopt(self._either(act), [subject.id] if subject else [], label, maintained=True)
        self.remember()

    def _either(self, act: Act) -> Iterator[Model]:
        before, after = deepcopy(self.model), deepcopy(self.model)
        yield before
        after.crashed = True
        slug = act.foresee(after)[1]
        if slug == GOOD:
            act.happen(after, {})
        else:
            act.refused(after, slug)
        yield after

    def at_once(self, *acts: Act) -> None:
        """Do two acts at the same time. The result is that of some order, or one is refused because of the other."""
        answers: dict[int, httpx.Response | None] = {}
        ready = threading.Barrier(len(acts))

        def go(number: int) -> None:
            ready.wait()
            answers[number] = self.sent(acts[number])

        threads = [threading.Thread(target=go, args=(number,)) for number in range(len(acts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [answers[number] for number in range(len(acts))]
        both = [(act, one) for act, one in zip(acts, found, strict=True) if one is not None]
        assert len(both) == len(acts), "no answer"
        subjects = {one.id for act in acts if (one := act.subject(self.model)) is not None}
        self._adopt(
            self._orders(both),
            subjects,
            f"{acts}: {[(one.status_code, one.text[:80]) for _, one in both]}",
            maintained=False,
        )
        self.remember()

    def _orders(self, both: Sequence[tuple[Act, httpx.Response]]) -> Iterator[Model]:
        for one, other in (both, both[::-1]):
            for order in ((one, other), (other,)):
                if len(order) == 1 and one[0].refused_meanwhile != (one[1].status_code, slug_of(one[1])):
                    continue
                model = deepcopy(self.model)
                if len(order) == 1:
                    one[0].refused(model, slug_of(one[1]))
                try:
                    for act, response in order:
                        self.answered(model, act, response)
                except (DifferenceError, AssertionError):
                    continue
                yield model

    # --- Comparing

    def _adopt(
        self, candidates: Iterator[Model], subjects: Sequence[str] | set[str], label: str, *, maintained: bool
    ) -> None:
        """Adopt the first candidate that agrees with the data the service shows these subjects.

        Args:
            maintained: everything that expired has ended, as at each start.

        Raises:
            DifferenceError: no candidate agrees.
        """
        shown = {one: self._shown(one) for one in subjects}
        faults = []
        for model in candidates:
            model.crashed = False
            if maintained:
                model.maintain()
            try:
                for subject_id, (let_in, document) in shown.items():
                    self._agrees(model, subject_id, let_in, document)
            except DifferenceError as fault:
                faults.append(str(fault))
                continue
            self.model = model
            return
        msg = f"neither before nor after: {label}\n" + "\n".join(faults)
        raise DifferenceError(msg)

    def _shown(self, subject_id: str) -> tuple[dict[str, bool], Body]:
        """Try every token that this subject ever had, and fetch the access document with one that works."""
        let_in: dict[str, bool] = {}
        document: Body = {}
        for secret in self.secrets.get(subject_id, []):
            answer = See(secret, "comparisons").send(self.store.client)
            let_in[secret] = answer.status_code == 200
            if let_in[secret] and not document:
                document = See(secret).send(self.store.client).json()
        return let_in, document

    @staticmethod
    def _agrees(model: Model, subject_id: str, let_in: dict[str, bool], document: Body) -> None:
        person = model.data.people.get(subject_id)
        secrets = [] if person is None else person.secrets()
        observed_state.same("valid tokens", let_in, {secret: secret in secrets for secret in let_in})
        if document and person is not None:
            person.accesses[model.now.date()] += 1
            observed_state.held(person, model, document)

    def look(self, person: Person | None) -> Body:
        """Compare the access document of a subject with the model; skip a subject without a token."""
        if person is None or not person.secrets():
            return {}
        act = See(person.secrets()[0])
        response = act.send(self.store.client)
        self.answered(self.model, act, response)
        document = body_of(response)
        observed_state.held(person, self.model, document)
        self.traces.setdefault(person.id, files.Traces()).note(document)
        return document

    def remember(self) -> None:
        """Remember every secret and id, to try them later."""
        for person in self.model.data.people.values():
            if person.id not in self.people:
                self.people.append(person.id)
            for kind, known in (("access", self.secrets), ("recovery", self.codes)):
                mine = known.setdefault(person.id, [])
                mine += [one for one in person.secrets(kind) if one not in mine]
            mine = self.consents.setdefault(person.id, [])
            mine += [one.consent.value for one in person.events if one.consent.value not in {None, *mine}]  # type: ignore[misc]
            refs = [(one.party, one.ref.value) for one in person.grants if one.party and one.ref.value]
            self.refs += [one for one in refs if one not in self.refs]
        for subject_id in set(self.traces) & self.model.ended.people:
            traces = self.traces.pop(subject_id)
            traces.texts |= {*self.secrets[subject_id], *self.codes[subject_id]}
            self.gone.append(traces)
            self.check_no_traces()

    # --- Time, and the end

    def move(self, days: float = 0, *, seconds: float = 0) -> None:
        """Move the clock."""
        self.model.now += timedelta(days=days, seconds=seconds)
        self.set_clock()

    def check_no_traces(self) -> None:
        """Check that no value of an erased subject is left."""
        assert files.left_of(self.gone, self.store.root, self.store.log) == []

    def discard(self) -> None:
        """End the service and delete its files."""
        self.store.stop(signal.SIGKILL)
        shutil.rmtree(self.store.root.parent, ignore_errors=True)
