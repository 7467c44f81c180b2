"""Facts that a notice states: the controller, the engine and the times in force. A changed fact makes a notice stale.

A notice names facts by placeholders, and records the value of each. Without a placeholder of some kind, it may state
facts of that kind in its own words. Then it records them all, and is stale when any of them changes.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import JsonValue

ALWAYS = ("controller_name", "engine")
"""Facts that every notice depends on."""


class FactKind(StrEnum):
    """The kinds of facts."""

    CONTROLLER = "controller"
    ENGINE = "engine"
    RATES = "rates"
    TIMES = "times"


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact in force."""

    kind: FactKind
    value: JsonValue
    """Compared with the recorded one. None: the setting that states it is missing."""
    words: str
    """Text that replaces the placeholder; without a value, the name of the missing setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The facts in force, by the name of their placeholder."""

    by_name: Mapping[str, Fact]
    live: bool
    """Whether a notice must name a real controller."""
    other_engines: Collection[str]
    """Ids of the shipped engines that are not in force."""

    def record(self, used: Collection[str]) -> dict[str, JsonValue]:
        """Return the facts that a notice with the placeholders *used* depends on, as its row records them."""
        named, always = {self.by_name[name].kind for name in used}, {*used, *ALWAYS}
        return {name: fact.value for name, fact in self.by_name.items() if name in always or fact.kind not in named}

    def changes_since(self, recorded: Mapping[str, JsonValue] | None) -> list[str]:
        """Return the names of the recorded facts that are no longer true.

        Args:
            recorded: the facts of a notice; None for a notice of a version that recorded none.
        """
        if recorded is None:
            return ["every fact (an earlier version of Mien recorded none)"]
        in_force = {name: fact.value for name, fact in self.by_name.items()}
        return [name for name, value in recorded.items() if name not in in_force or in_force[name] != value]
