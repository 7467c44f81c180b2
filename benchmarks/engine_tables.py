"""The tables of `benchmarks.engines`, and whether its goals are met."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.report import say, table
from benchmarks.stages import STAGES

GOALS: Final = {
    ("face_recognition", "0.3"): 4.0,
    ("face_recognition", "1"): 6.0,
    ("face_recognition", "12"): 60.0,
    ("sface", "1"): 10.0,
}
"""The least that the rate of an engine's worker shall be to the library's, by the size in megapixels."""
BEYOND_MS: Final = 10.0
"""The goal: the most processor time of a verification outside the engine."""
OF_THE_ENGINE: Final = ("detect", "align", "embed")
SECOND: Final = 1.9
"""The goal: the least that a second worker shall bring, where a second core is idle."""
ENGINES: Final = ("face_recognition", "sface")
BEFORE: Final = "before "
"""Begins the name of a contender that is another version of Mien."""

Found = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Decided:
    """The decision of each contender on one photo and one reference."""

    who: str
    claimed: str
    said: Mapping[str, str]


def _ms(found: Found, name: str) -> float:
    return 1000 * statistics.median(found[name])


def _ratio(found: Found, name: str) -> float:
    """Return how many pictures *name* does in the time that the library needs for one; its median over the rounds."""
    library = "library cpu" if name.endswith(" cpu") else "library"
    return statistics.median(a / b for a, b in zip(found[library], found[name], strict=True))


def _verdict(met: bool) -> str:  # noqa: FBT001
    return "met" if met else "NOT MET"


def rates(sizes: Mapping[str, Found]) -> None:
    """Print the cost of a verification over HTTP, and the ratios to the library."""
    names = [name for name in (*(BEFORE + engine for engine in ENGINES), *ENGINES) if name in sizes["1"]]
    services = [name for one in names for name in (one, f"{one}, 2 clients") if name in sizes["1"]]
    say("One picture, milliseconds by the clock, medians; in brackets the library's to it, median over the rounds:")
    rows = [
        [f"{size} MP", f"{_ms(found, 'library'):.0f}"]
        + [f"{_ms(found, name):.0f} ({_ratio(found, name):.1f})" for name in services]
        for size, found in sizes.items()
    ]
    table(["size", "library", *services], rows)
    say()
    say("The same in milliseconds of processor, the service and its one worker together, without the client:")
    processor = [f"{name} cpu" for name in names]
    rows = [
        [f"{size} MP", f"{_ms(found, 'library cpu'):.0f}"]
        + [f"{_ms(found, name):.1f} ({_ratio(found, name):.1f})" for name in processor]
        for size, found in sizes.items()
    ]
    table(["size", "library", *names], rows)
    for (engine, size), goal in GOALS.items():
        reached = {name: _ratio(sizes[size], name) for name in (engine, f"{engine}, 2 clients", f"{engine} cpu")}
        told = ", ".join(f"{name} {ratio:.1f} ({_verdict(ratio >= goal)})" for name, ratio in reached.items())
        say(f"Goal at {size} MP, {goal:g} times the library: {told}")
    say()


def stages(sizes: Mapping[str, Found]) -> None:
    """Print where the processor's milliseconds go, each beside its bound."""
    for engine in ENGINES:
        rows = {stage: [stage] for stage in (*STAGES, "rest of the service", "all")}
        for found in sizes.values():
            took = {stage: _ms(found, f"{engine} steps {stage}") for stage in STAGES}
            every = _ms(found, f"{engine} cpu")
            took |= {"rest of the service": every - sum(took.values()), "all": every}
            for stage, milliseconds in took.items():
                rows[stage] += [f"{milliseconds:.2f}", _bound(found, engine, stage)]
        say(f"{engine}: processor milliseconds of one verification, and the lower bounds:")
        table(["stage", *(cell for size in sizes for cell in (f"{size} MP", "bound"))], list(rows.values()))
        for size, found in sizes.items():
            rest = _ms(found, f"{engine} cpu") - sum(_ms(found, f"{engine} steps {stage}") for stage in OF_THE_ENGINE)
            say(
                f"{size} MP, outside the engine: {rest:.1f} (goal under {BEYOND_MS:g} ms: {_verdict(rest < BEYOND_MS)})"
            )
        say()


def _bound(found: Found, engine: str, stage: str) -> str:
    name = "bare cpu" if stage == "rest of the service" else f"{engine} least {stage}"
    return f"{_ms(found, name):.2f}" if name in found else ""


def decisions(decided: Sequence[Decided], threshold: float) -> None:
    """Print how many pairs each contender takes for one person."""
    rows = []
    for name in decided[0].said:
        own = [one.said[name] for one in decided if one.who == one.claimed]
        others = [one.said[name] for one in decided if one.who != one.claimed]
        rows.append([name, *(f"{said.count('match')} of {len(said)}" for said in (own, others))])
    unequal = sum(one.said["library"] != one.said["face_recognition"] for one in decided)
    say(f"Taken for one person, of {len(decided)} pairs; the library at our threshold for it, {threshold:g}:")
    table(["", "a person's own", "two people's"], rows)
    wrong = sorted({f"{one.who} as {one.claimed}" for one in decided if _false_match(one)})
    for name in ENGINES:
        changed = sum(one.said.get(BEFORE + name, one.said[name]) != one.said[name] for one in decided)
        say(f"`{name}` decides {changed} otherwise than before.")
    say(
        f"The library and `face_recognition` differ in {unequal}. "
        f"False matches of `sface`: {', '.join(wrong) or 'none'}."
    )
    say()


def _false_match(one: Decided) -> bool:
    return one.who != one.claimed and one.said["sface"] == "match"


def crews(engines: Mapping[str, Found]) -> None:
    """Print the gain of a second worker, and that of a second process."""
    say("Two to one at 1 MP, without HTTP; the ratio of each round, median (lowest to highest):")
    rows, verdicts = [], []
    for engine, found in engines.items():
        pool, loops = (_second(found, name) for name in ("pool", "loops"))
        alone = statistics.median(found["pool 1"])
        rows.append([engine, f"{alone:.1f}", _spread(pool), _spread(loops)])
        verdicts.append(f"{engine} {_verdict(statistics.median(pool) >= SECOND)}")
    table(["", "one worker, a second", "two workers to one", "bound: two bare processes to one"], rows)
    say(f"Goal, a second worker brings {SECOND:g} times one where a core is idle: {', '.join(verdicts)}")
    say()


def _second(found: Found, name: str) -> list[float]:
    return [two / one for one, two in zip(found[f"{name} 1"], found[f"{name} 2"], strict=True)]


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
