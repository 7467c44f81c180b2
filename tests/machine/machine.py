"""The machine: what may happen to a service, in any order, and the laws after each of it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import event, note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.machine import files, seen
from tests.machine.acts import Act
from tests.machine.acts_of_right import Register, See
from tests.machine.choices import COMMON, MOST_PEOPLE, RARE, Choice, chosen, choices
from tests.machine.ground import Ground, Nursery
from tests.machine.model import Data, Model, Party
from tests.machine.operators import Operators

BEGINNING = datetime(2026, 3, 1, 12, tzinfo=UTC)
IN_PAIRS = ("consent", "enrol", "verify", "withdraw", "refuse", "unenrol", "recover", "restrict", "lift", "add token")
STEP = st.integers(1, 9)


class Machine(RuleBasedStateMachine):
    """People, relying parties and an operator, at a service that may die at any moment."""

    def __init__(self, nursery: Nursery, prepared: Path, data: Data, place: Path) -> None:
        super().__init__()
        place.mkdir()
        shutil.copytree(prepared, place / "house")
        self.walk = Operators(Ground(nursery, place / "house"), Model(BEGINNING, data))
        self.whole = True
        """False while something goes on, and ever after it has failed: then nothing is searched at the end."""

    def act(self, act: Act, *, dying_at: int = 0) -> None:
        """Let somebody act."""
        self.whole = False
        deaths = len(self.walk.deaths)
        response = self.walk.do(act, dying_at=dying_at)
        event(f"{type(act).__name__} {'died' if response is None else response.status_code}")
        for died in self.walk.deaths[deaths:]:
            note(f"died at {died}")
        if isinstance(act, See) and act.what == "export" and response is not None and response.status_code == 200:
            seen.exported(self.walk.look(act.whom(self.walk.model)), response.content)
        self.whole = True

    # --- People and relying parties

    @initialize(choice=choices("register"))
    def begin(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @precondition(lambda self: len(self.walk.people) < MOST_PEOPLE)
    @rule(choice=choices("register"))
    def register(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @rule(choice=choices(*COMMON))
    def consent_enrol_verify_withdraw(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @rule(choice=choices("consent", "verify", "enrol"))
    def more_of_it(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @rule(choice=choices(*RARE))
    def account_and_rights(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @rule(choice=choices("erase"))
    def erase(self, choice: Choice) -> None:
        self.act(chosen(self.walk, choice))

    @rule(choice=choices(*COMMON, *RARE, "erase", "register"), step=STEP)
    def die_on_the_way(self, choice: Choice, step: int) -> None:
        self.act(chosen(self.walk, choice), dying_at=step)

    @rule(one=choices(*IN_PAIRS, "erase"), other=choices(*IN_PAIRS))
    def two_at_once(self, one: Choice, other: Choice) -> None:
        self.whole = False
        self.walk.at_once(chosen(self.walk, one), chosen(self.walk, other))
        event("two at once")
        self.whole = True

    # --- The operator

    def operate(self, what: str, *given: Any, **named: Any) -> None:
        """Let the operator do something."""
        self.whole = False
        deaths = len(self.walk.deaths)
        getattr(self.walk, what)(*given, **named)
        event(what)
        for died in self.walk.deaths[deaths:]:
            note(f"died at {died}")
        self.whole = True

    @rule(which=st.integers(0, 1), step=st.just(0) | STEP)
    def rotate_a_partys_key(self, which: int, step: int) -> None:
        self.operate("rotate_party", which, dying_at=step)

    @rule(which=st.integers(0, 7), step=st.just(0) | STEP)
    def revoke_a_party(self, which: int, step: int) -> None:
        # Seldom: when all are revoked nothing more can happen.
        self.operate("revoke_party" if which < 2 else "rotate_party", which % 2, dying_at=step)

    @rule(purpose=st.sampled_from(["verification", "template_renewal"]))
    def change_a_notice(self, purpose: str) -> None:
        self.operate("publish", purpose)

    @rule(step=st.just(0) | STEP)
    def sweep(self, step: int) -> None:
        self.operate("sweep", dying_at=step)

    @rule(step=st.just(0) | st.integers(1, 25), politely=st.booleans())
    def restart(self, step: int, politely: bool) -> None:  # noqa: FBT001 - Hypothesis gives it by name
        self.operate("stop_and_start", politely=politely, dying_at=step)

    @rule(days=st.sampled_from([0.3, 1, 4, 40, 366, -1]))
    def move_the_clock(self, days: float) -> None:
        self.operate("move", days)

    @rule()
    def back_up(self) -> None:
        self.operate("back_up")

    @precondition(lambda self: self.walk.backups)
    @rule(which=st.integers(0, 2), step=st.just(0) | st.integers(1, 25))
    def restore(self, which: int, step: int) -> None:
        self.operate("restore", which, dying_at=step)

    # --- The laws

    @invariant()
    def databases_are_sound(self) -> None:
        if self.whole:
            self.whole = False
            assert files.sound(self.walk.ground.root) == []
            self.walk.keys.look()
            self.whole = True

    def teardown(self) -> None:
        """Hold everything against everything, then take it away."""
        try:
            if self.whole:
                self.walk.all_told()
        finally:
            self.walk.discard()


def first_party(told: dict[str, Any]) -> Party:
    """Return a party as the operator's command tells of it."""
    return Party(told["relying_party_id"], told["name"], frozenset(told["purposes"]), told["api_key"])


__all__ = ["Machine", "Register", "first_party"]
