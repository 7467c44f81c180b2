"""The state machine: acts on a service, in any order, and the laws after each."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.crash import log_files
from tests.machine import files, observed_state
from tests.machine.acts import Act
from tests.machine.acts_of_right import See
from tests.machine.choices import COMMON, MAX_PEOPLE, RARE, Choice, choices, chosen
from tests.machine.model import RENEWAL, Data, Model, Party
from tests.machine.operators import Operators
from tests.machine.store_harness import ProcessLauncher, ServedStore

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
IN_PAIRS = ("consent", "enrol", "verify", "withdraw", "refuse", "unenrol", "recover", "restrict", "lift", "add token")
WRITING = (*IN_PAIRS, "verify", "enrol", "rename", "revoke token", "erase", "erase", "register", "access")
DUTIES = (
    "rotate_party",
    "revoke_party",
    "publish",
    "rotate_keys",
    "maintain",
    "stop_and_start",
    "stop_and_start",
    "move",
    "move",
)
STEP = st.integers(1, 8)


class Machine(RuleBasedStateMachine):
    """Subjects, relying parties and an operator of a service that may die at any step."""

    def __init__(self, launcher: ProcessLauncher, prepared: Path, data: Data, place: Path) -> None:
        super().__init__()
        place.mkdir()
        shutil.copytree(prepared, place / "service")
        self.walk = Operators(ServedStore(launcher, place / "service"), Model(START, data))
        self.whole = True
        """False during an act, and for good after an act that failed: then the end of the walk checks nothing."""

    def act(self, act: Act, *, kill_at: int = 0) -> None:
        """Do one act."""
        self.whole = False
        deaths = len(self.walk.deaths)
        response = self.walk.do(act, kill_at=kill_at)
        event(f"{type(act).__name__} {'died' if response is None else response.status_code}")
        for died in self.walk.deaths[deaths:]:
            note(f"died at {died}")
        if isinstance(act, See) and act.part == "export" and response is not None and response.status_code == 200:
            observed_state.exported(self.walk.look(act.subject(self.walk.model)), response.content)
        self.whole = True

    # --- People and relying parties

    @initialize(faces=st.lists(st.integers(0, 1), min_size=1, max_size=2), keep=st.booleans())
    def begin(self, faces: list[int], keep: bool) -> None:  # noqa: FBT001 - Hypothesis gives it by name
        """Let some subjects register, consent and enrol, because few acts are possible before."""
        for who, face in enumerate(faces):
            self.act(chosen(self.walk, Choice("register")))
            for which in (0, 2)[: 1 + keep]:
                self.act(chosen(self.walk, Choice("consent", who=who, which=which)))
            self.act(chosen(self.walk, Choice("enrol", who=who, which=int(keep), face=face, more=1)))

    @rule(some=st.lists(choices(*COMMON), min_size=1, max_size=3))
    def live(self, some: list[Choice]) -> None:
        for choice in some:
            self.act(chosen(self.walk, choice))

    @rule(consent=choices("consent"), enrol=choices("enrol"), verify=choices("verify"))
    def come_in(self, consent: Choice, enrol: Choice, verify: Choice) -> None:
        for choice in (consent, enrol, verify):
            self.act(chosen(self.walk, choice))

    @rule(verify=choices("verify"))
    def be_verified(self, verify: Choice) -> None:
        self.act(chosen(self.walk, verify))

    @rule(choice=choices(*RARE), verify=choices("verify"))
    def account_and_rights(self, choice: Choice, verify: Choice) -> None:
        self.act(chosen(self.walk, choice))
        self.act(chosen(self.walk, verify))

    @rule(choice=choices("erase", "register", "register"))
    def come_and_go(self, choice: Choice) -> None:
        if choice.kind == "erase" or len(self.walk.people) < MAX_PEOPLE:
            self.act(chosen(self.walk, choice))

    @rule(choice=choices(*WRITING), step=STEP)
    def die_on_the_way(self, choice: Choice, step: int) -> None:
        self.act(chosen(self.walk, choice), kill_at=step)

    @rule(one=choices(*IN_PAIRS, "erase"), other=choices(*IN_PAIRS))
    def two_at_once(self, one: Choice, other: Choice) -> None:
        self.whole = False
        self.walk.at_once(chosen(self.walk, one), chosen(self.walk, other))
        event("two at once")
        self.whole = True

    # --- The operator

    def operate(self, duty: str, *given: Any, **named: Any) -> None:
        """Carry out one duty of the operator."""
        self.whole = False
        deaths = len(self.walk.deaths)
        getattr(self.walk, duty)(*given, **named)
        event(duty)
        for died in self.walk.deaths[deaths:]:
            note(f"died at {died}")
            event(f"{duty} died")
        self.whole = True

    @rule(duty=st.sampled_from(DUTIES), which=st.integers(0, 5), step=st.just(0) | STEP)
    def run_duty(self, duty: str, which: int, step: int) -> None:
        match duty:
            case "publish":
                self.operate(duty, ("verification", RENEWAL)[which % 2])
            case "move":
                self.operate(duty, (0.3, 1, 4, 40, 366, -1)[which])
            case "stop_and_start":
                self.operate(duty, politely=which % 2 == 1, kill_at=step * 2)
            case "maintain" | "rotate_keys":
                self.operate(duty, kill_at=step)
            case _:
                # Rarely revoked: without relying parties, few acts are possible.
                self.operate("rotate_party" if which > 1 else duty, which % 2, kill_at=step)

    @rule(which=st.integers(0, 2), back=st.sampled_from((False, True, True)), step=st.just(0) | st.integers(1, 20))
    def back_up_or_restore(self, which: int, back: bool, step: int) -> None:  # noqa: FBT001 - Hypothesis gives it by name
        if back and self.walk.backups:
            self.operate("restore", which, kill_at=step)
        else:
            self.operate("back_up", kill_at=step if which == 2 else 0)

    # --- The laws

    @invariant()
    def databases_are_sound_and_no_ended_key_lives(self) -> None:
        if self.whole:
            self.whole = False
            assert files.sound(self.walk.store.root) == []
            assert files.keys_of_ended(self.walk.store.root, self.walk.model.ended) == 0
            assert log_files.found_in(self.walk.store.root, self.walk.promised) == []
            self.walk.keys.look()
            self.whole = True

    def teardown(self) -> None:
        """Check everything, then remove it."""
        try:
            if self.whole:
                self.walk.check_all()
        finally:
            self.walk.discard()


def first_party(told: dict[str, Any]) -> Party:
    """Return the relying party in an answer of the operator's command."""
    return Party(told["relying_party_id"], told["name"], frozenset(told["purposes"]), told["api_key"])
