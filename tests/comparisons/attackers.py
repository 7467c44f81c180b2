"""Two attackers against the service's own verbs, on real stores: what they get, and what they would get without limits.

Only the engine is a stand-in: a face is a colour, measured as the toy engine measures it, without a picture around it.
The clock moves as the attacker waits. Run it to see the figures of `docs/explanation/failed-comparisons.md`:

    .venv/bin/python -m tests.comparisons.attackers
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from uuid import UUID

import numpy as np

from app.comparisons.policy import DAY, Decision
from app.consent import service as consent
from app.enrolment import service as enrolment
from app.faces.flaws import Flaw
from app.faces.permit import Permit, Purpose
from app.faces.service import RunningEngine
from app.faces.workers.messages import Measurement
from app.kit.errors import TooManyAttemptsError
from app.parties import keys as party_keys
from app.parties import service as parties
from app.subjects import service as subjects
from app.templates import engine_history
from app.vault.open import open_vault
from app.vault.vault import Vault
from app.verification.policy import decide
from app.verification.service import VerificationRequest, verify
from app.web.auth import token_digest
from tests.support.byte_scan import rows
from tests.support.service_fixture import ToyPool, prepare, settings_for
from tests.support.toy_engine import _DIMENSIONS, _PHASES, _WAVES, toy_card

Colour = tuple[int, int, int]
START = datetime(2031, 1, 1, tzinfo=UTC)
THRESHOLD = 0.54
MOST = 20_000
"""Decisions after which an attacker without limits gives up."""


def measured(colour: Sequence[int]) -> tuple[float, ...]:
    """Return what the toy engine measures of a face of this colour."""
    numbers: list[float] = (np.cos(_WAVES @ np.array(colour) + _PHASES) / np.sqrt(_DIMENSIONS)).tolist()
    return tuple(numbers)


class Colours(ToyPool):
    """Finds the face whose colour is the image."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        return [Measurement(measured(list(image)), {}) for image in images]


@dataclass(frozen=True)
class Door:
    """A relying party that an attacker has got hold of."""

    id: UUID
    key_id: UUID


class Town:
    """People who are enrolled at some doors, and a clock that stands until somebody waits."""

    def __init__(self, vault: Vault, *, doors: int) -> None:
        self.vault, self.now = vault, START
        engine_history.put_in_force(vault, toy_card(), days=90, now=START)
        self._faces = RunningEngine(pool=Colours(), card=toy_card(), target_fmr=1e-3, threshold=THRESHOLD)
        self.doors = [self._door(f"Door {number}") for number in range(doors)]
        ((self._notice,),) = rows(vault.data.path, "SELECT sha256 FROM notices WHERE purpose = 'verification'")

    def _door(self, name: str) -> Door:
        with self.vault.data.write() as session:
            party, key = parties.add(
                session, name=name, contact="-", purposes=[Purpose.VERIFICATION], alternative="-", now=self.now
            )
        found = party_keys.authenticate(self.vault.data, token_digest(key), clock=lambda: self.now)
        assert found is not None
        return Door(party.relying_party_id, found.token_id)

    def enrol(self, colour: Colour) -> list[str]:
        """Enrol somebody at every door; returns what each knows them as."""
        given = subjects.register(self.vault, display_name=None, now=self.now)
        me = subjects.authenticate(self.vault.data, token_digest(given.access_token))
        assert me is not None
        grants = []
        for door in self.doors:
            asked = consent.ConsentRequest(
                purpose=Purpose.VERIFICATION, relying_party_id=door.id, notice_sha256=self._notice
            )
            grants.append(consent.give(self.vault, by=me, request=asked, chosen_end=None, now=self.now).grant)
        enrolment.enrol(
            self.vault,
            self._faces,
            by=me,
            consent_ids=[grant.id for grant in grants],
            photos=[bytes(colour)],
            keep_photos=False,
            clock=lambda: self.now,
        )
        return [str(grant.subject_ref) for grant in grants]

    def try_one(self, door: Door, reference: str, colour: Colour) -> Decision:
        """Try a face at a door."""
        return verify(
            self.vault,
            self._faces,
            VerificationRequest(relying_party_id=door.id, key_id=door.key_id, subject_ref=reference),
            probe=bytes(colour),
            settings=self.vault.settings,
            clock=lambda: self.now,
        ).decision


def chance(seed: int) -> random.Random:
    """Return what an attacker draws from: the same in each run."""
    return random.Random(seed)  # noqa: S311 - chance here protects nothing


def climb(start: Colour, drawn: random.Random) -> Iterator[Colour]:
    """Give face after face, further and further from where the attacker began: all that it hears is no."""
    for number in count():
        reach = 10 + number / 4
        yield tuple(round(min(255, max(0, drawn.gauss(part, reach)))) for part in start)  # type: ignore[misc]


def decisions_without_limits(victim: Colour, start: Colour, seed: int) -> int:
    """Return how many faces it takes until one matches, if nothing stops the attacker."""
    template = np.array(measured(victim))
    for number, colour in enumerate(climb(start, chance(seed)), start=1):
        apart = float(np.linalg.norm(np.array(measured(colour)) - template))
        if decide(apart, threshold=THRESHOLD) is Decision.MATCH or number == MOST:
            return number
    raise AssertionError


@dataclass(frozen=True)
class Climbed:
    """What an attacker got of one person in 24 hours."""

    decisions: int
    refusals: int
    matched: bool


def climb_for_a_day(town: Town, victim: Colour, start: Colour, seed: int) -> Climbed:
    """Try one face after another at all doors in turn, and wait no longer than one must."""
    references = town.enrol(victim)
    free_at = dict.fromkeys(range(len(town.doors)), town.now)
    until, decisions, refusals = town.now + DAY, 0, 0
    for colour in climb(start, chance(seed)):
        while True:
            door = min(free_at, key=lambda one: free_at[one])
            town.now = max(town.now, free_at[door])
            if town.now >= until:
                return Climbed(decisions, refusals, matched=False)
            try:
                decision = town.try_one(town.doors[door], references[door], colour)
            except TooManyAttemptsError as error:
                refusals += 1
                free_at[door] = town.now + timedelta(seconds=int(error.answer_headers["Retry-After"]))
                continue
            decisions += 1
            town.now += timedelta(seconds=1)
            free_at[door] = town.now
            if decision is Decision.MATCH:
                return Climbed(decisions, refusals, matched=True)
            break
    raise AssertionError


@dataclass(frozen=True)
class Swept:
    """What somebody with one found photo got of many references."""

    in_the_first_hour: int
    stops: int
    hours_for_all: float


def sweep(town: Town, people: Sequence[Colour], photo: Colour) -> Swept:
    """Try one photo on one reference after another, and wait whenever one must."""
    references, (door, *_) = [town.enrol(one)[0] for one in people], town.doors
    began, first, stops = town.now, 0, 0
    for reference in references:
        while True:
            try:
                town.try_one(door, reference, photo)
            except TooManyAttemptsError as error:
                stops += 1
                town.now += timedelta(seconds=int(error.answer_headers["Retry-After"]))
                continue
            first += town.now - began < timedelta(hours=1)
            town.now += timedelta(seconds=1)
            break
    return Swept(first, stops, (town.now - began) / timedelta(hours=1))


def colours(number: int, seed: int = 1) -> list[Colour]:
    """Return so many faces, at random."""
    drawn = chance(seed)
    return [(drawn.randrange(256), drawn.randrange(256), drawn.randrange(256)) for _ in range(number)]


def town_in(root: Path, *, doors: int) -> Town:
    """Make a service in *root*, with the settings as they come."""
    return Town(open_vault(settings_for(root)), doors=doors)


def far(victim: Colour, start: Colour) -> bool:
    """Say whether the attacker has to climb at all."""
    apart = float(np.linalg.norm(np.array(measured(victim)) - np.array(measured(start))))
    return apart >= THRESHOLD


def pairs(number: int) -> list[tuple[Colour, Colour]]:
    """Return so many victims, each with the face that an attacker begins with."""
    found = colours(6 * number)
    return [pair for pair in zip(found[::2], found[1::2], strict=True) if far(*pair)][:number]


def climbers(root: Path, *, doors: int, number: int) -> tuple[list[int], list[Climbed]]:
    """Return for so many people how many decisions it takes without limits, and what is got with them."""
    town = town_in(root, doors=doors)
    with closing(town.vault.data), closing(town.vault.register.store):
        known = list(enumerate(pairs(number)))
        without = [decisions_without_limits(victim, start, seed) for seed, (victim, start) in known]
        return without, [climb_for_a_day(town, victim, start, seed) for seed, (victim, start) in known]


def swept(root: Path, *, people: int) -> Swept:
    """Return what a sweep over so many people gets; the photo is of none of them."""
    photo, *others = colours(3 * people)
    town = town_in(root, doors=1)
    with closing(town.vault.data), closing(town.vault.register.store):
        return sweep(town, [one for one in others if far(one, photo)][:people], photo)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        for doors in (1, 3):
            root = Path(directory, f"climbers {doors}")
            prepare(root)
            without, got = climbers(root, doors=doors, number=40)
            most, matched = max(one.decisions for one in got), sum(one.matched for one in got)
            print_line(f"relying parties: {doors}; 40 people, 24 hours each: at most {most} decisions, {matched} found")
            found = sum(one < MOST for one in without)
            print_line(f"without limits: {found} found in {MOST} decisions each, half of all in {median(without):.0f}")
        root = Path(directory, "sweep")
        prepare(root)
        one = swept(root, people=200)
        print_line(f"one photo, 200 references: {one.in_the_first_hour} decisions in the first hour")
        print_line(f"all 200 in {one.hours_for_all:.1f} hours, stopped {one.stops} times; without limits at once")


def print_line(text: str) -> None:
    """Write one line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
