"""Two attackers against the service's own functions, on real stores: their results with and without the limits.

Only the engine is a stand-in: a face is a colour, with the numbers that the toy engine measures, without a picture.
The clock moves when the attacker waits. This prints the figures of `docs/explanation/failed-comparisons.md`:

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
from app.parties import service as party_service
from app.settings import Settings
from app.subjects import service as subjects
from app.templates import engine_history
from app.vault.open import open_vault
from app.vault.vault import Vault
from app.verification.policy import decide
from app.verification.service import VerificationRequest, verify
from app.web.callers import token_digest
from tests.consent.drafts import facts_of
from tests.support.byte_scan import rows
from tests.support.service_fixture import ToyPool, prepare, settings_for, skip_fsync
from tests.support.sqlite_stores import in_file
from tests.support.toy_engine import _DIMENSIONS, _PHASES, _WAVES, toy_card

Colour = tuple[int, int, int]
START = datetime(2031, 1, 1, tzinfo=UTC)
THRESHOLD = 0.54
MAX_DECISIONS = 20_000
"""Decisions after which an attacker without limits gives up."""


def features_of(colour: Sequence[int]) -> tuple[float, ...]:
    """Return the numbers that the toy engine measures in a face of this colour."""
    numbers: list[float] = (np.cos(_WAVES @ np.array(colour) + _PHASES) / np.sqrt(_DIMENSIONS)).tolist()
    return tuple(numbers)


class ColourPool(ToyPool):
    """Takes an image of three bytes as a face of that colour."""

    def measure(self, permit: Permit, images: Sequence[bytes]) -> list[Measurement | Flaw]:
        return [Measurement(features_of(list(image)), {}) for image in images]


@dataclass(frozen=True)
class AttackedParty:
    """A relying party whose key the attacker has."""

    id: UUID
    key_id: UUID


class Scenario:
    """A service with relying parties, and a clock that moves when the attacker waits."""

    def __init__(self, vault: Vault, settings: Settings, *, parties: int) -> None:
        self.vault, self.settings, self.now = vault, settings, START
        engine_history.put_in_force(vault, toy_card(), days=90, now=START)
        self._faces = RunningEngine(pool=ColourPool(), card=toy_card(), target_fmr=1e-3, threshold=THRESHOLD)
        self.parties = [self._add_party(f"Door {number}") for number in range(parties)]
        ((self._notice,),) = rows(in_file(vault.data).path, "SELECT sha256 FROM notices WHERE purpose = 'verification'")

    def _add_party(self, name: str) -> AttackedParty:
        with self.vault.data.write() as session:
            party, key = party_service.add(
                session, name=name, contact="-", purposes=[Purpose.VERIFICATION], alternative="-", now=self.now
            )
        found = party_keys.authenticate(self.vault.data, token_digest(key), clock=lambda: self.now)
        assert found is not None
        return AttackedParty(party.relying_party_id, found.token_id)

    def enrol(self, colour: Colour) -> list[str]:
        """Enrol a subject for every relying party. Returns the reference of each."""
        registered = subjects.register(self.vault, display_name=None, now=self.now)
        me = subjects.authenticate(self.vault.data, token_digest(registered.access_token))
        assert me is not None
        grants = []
        for party in self.parties:
            asked = consent.ConsentRequest(
                purpose=Purpose.VERIFICATION, relying_party_id=party.id, notice_sha256=self._notice
            )
            given = consent.give(
                self.vault,
                by=me,
                request=asked,
                facts=facts_of(),
                chosen_end=None,
                settings=self.settings,
                now=self.now,
            )
            grants.append(given.grant)
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

    def verify(self, party: AttackedParty, reference: str, colour: Colour) -> Decision:
        """Verify a face as a relying party."""
        return verify(
            self.vault,
            self._faces,
            VerificationRequest(relying_party_id=party.id, key_id=party.key_id, subject_ref=reference),
            probe=bytes(colour),
            settings=self.settings,
            clock=lambda: self.now,
        ).decision


def seeded_random(seed: int) -> random.Random:
    """Return a generator whose numbers are the same in each run."""
    return random.Random(seed)  # noqa: S311 - no secret is made from it


def climb(start: Colour, generator: random.Random) -> Iterator[Colour]:
    """Yield random faces around *start*, further away each time."""
    for number in count():
        reach = 10 + number / 4
        yield tuple(round(min(255, max(0, generator.gauss(part, reach)))) for part in start)  # type: ignore[misc]


def decisions_without_limits(victim: Colour, start: Colour, seed: int) -> int:
    """Return how many faces it takes until one matches, without any limit."""
    template = np.array(features_of(victim))
    for number, colour in enumerate(climb(start, seeded_random(seed)), start=1):
        apart = float(np.linalg.norm(np.array(features_of(colour)) - template))
        if decide(apart, threshold=THRESHOLD) is Decision.MATCH or number == MAX_DECISIONS:
            return number
    raise AssertionError


@dataclass(frozen=True)
class ClimbResult:
    """The result of trying many faces against one person for 24 hours."""

    decisions: int
    refusals: int
    matched: bool


def climb_for_a_day(scenario: Scenario, victim: Colour, start: Colour, seed: int) -> ClimbResult:
    """Try one face after another as all relying parties in turn, and wait only as long as required."""
    references = scenario.enrol(victim)
    free_at = dict.fromkeys(range(len(scenario.parties)), scenario.now)
    until, decisions, refusals = scenario.now + DAY, 0, 0
    for colour in climb(start, seeded_random(seed)):
        while True:
            party = min(free_at, key=lambda number: free_at[number])
            scenario.now = max(scenario.now, free_at[party])
            if scenario.now >= until:
                return ClimbResult(decisions, refusals, matched=False)
            try:
                decision = scenario.verify(scenario.parties[party], references[party], colour)
            except TooManyAttemptsError as error:
                refusals += 1
                free_at[party] = scenario.now + timedelta(seconds=int(error.answer_headers["Retry-After"]))
                continue
            decisions += 1
            scenario.now += timedelta(seconds=1)
            free_at[party] = scenario.now
            if decision is Decision.MATCH:
                return ClimbResult(decisions, refusals, matched=True)
            break
    raise AssertionError


@dataclass(frozen=True)
class SweepResult:
    """The result of trying one photo against many references."""

    in_first_hour: int
    blocks: int
    hours_for_all: float


def sweep(scenario: Scenario, people: Sequence[Colour], photo: Colour) -> SweepResult:
    """Try one photo against one reference after another, and wait when required."""
    references, (party, *_) = [scenario.enrol(colour)[0] for colour in people], scenario.parties
    began, first, blocks = scenario.now, 0, 0
    for reference in references:
        while True:
            try:
                scenario.verify(party, reference, photo)
            except TooManyAttemptsError as error:
                blocks += 1
                scenario.now += timedelta(seconds=int(error.answer_headers["Retry-After"]))
                continue
            first += scenario.now - began < timedelta(hours=1)
            scenario.now += timedelta(seconds=1)
            break
    return SweepResult(first, blocks, (scenario.now - began) / timedelta(hours=1))


def colours(number: int, seed: int = 1) -> list[Colour]:
    """Return random faces."""
    generator = seeded_random(seed)
    return [(generator.randrange(256), generator.randrange(256), generator.randrange(256)) for _ in range(number)]


def scenario_in(root: Path, *, parties: int) -> Scenario:
    """Make a service in *root*, with the default limits."""
    settings = settings_for(root)
    vault = open_vault(settings)
    skip_fsync(vault)
    return Scenario(vault, settings, parties=parties)


def far(victim: Colour, start: Colour) -> bool:
    """Return whether the first face of the attacker does not match yet."""
    apart = float(np.linalg.norm(np.array(features_of(victim)) - np.array(features_of(start))))
    return apart >= THRESHOLD


def pairs(number: int) -> list[tuple[Colour, Colour]]:
    """Return victims, each with the first face of the attacker."""
    found = colours(6 * number)
    return [pair for pair in zip(found[::2], found[1::2], strict=True) if far(*pair)][:number]


def run_climbers(root: Path, *, parties: int, number: int) -> tuple[list[int], list[ClimbResult]]:
    """Return for each victim the decisions needed without limits, and the result with them."""
    scenario = scenario_in(root, parties=parties)
    with closing(scenario.vault.data), closing(scenario.vault.register.store):
        known = list(enumerate(pairs(number)))
        without = [decisions_without_limits(victim, start, seed) for seed, (victim, start) in known]
        return without, [climb_for_a_day(scenario, victim, start, seed) for seed, (victim, start) in known]


def run_sweep(root: Path, *, people: int) -> SweepResult:
    """Return the result of a sweep with a photo of another person."""
    photo, *others = colours(3 * people)
    scenario = scenario_in(root, parties=1)
    with closing(scenario.vault.data), closing(scenario.vault.register.store):
        return sweep(scenario, [one for one in others if far(one, photo)][:people], photo)


def main() -> None:
    """Print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        for parties in (1, 3):
            root = Path(directory, f"climbers {parties}")
            prepare(root)
            without, got = run_climbers(root, parties=parties, number=40)
            most, matched = max(one.decisions for one in got), sum(one.matched for one in got)
            print_line(
                f"relying parties: {parties}; 40 people, 24 hours each: at most {most} decisions, {matched} found"
            )
            found = sum(one < MAX_DECISIONS for one in without)
            print_line(
                f"without limits: {found} found in {MAX_DECISIONS} decisions each, half of all in {median(without):.0f}"
            )
        root = Path(directory, "sweep")
        prepare(root)
        one = run_sweep(root, people=200)
        print_line(f"one photo, 200 references: {one.in_first_hour} decisions in the first hour")
        print_line(f"all 200 in {one.hours_for_all:.1f} hours, blocked {one.blocks} times; without limits at once")


def print_line(text: str) -> None:
    """Write one line."""
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
