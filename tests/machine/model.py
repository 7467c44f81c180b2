"""The expected state of a service, without any code of the service.

`Data` goes back in time with a backup; `EndedItems`, like the register, never does. A value that the service chooses
(an id, a reference) is a `Cell`, empty until the test has seen it.
"""

from collections import Counter
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from tests.machine.cells import Cell

RENEWAL = "template_renewal"
DEFAULT_DAYS = 365


@dataclass
class Token:
    """A token or recovery code. The secret is None if the answer with it was lost."""

    kind: str
    secret: str | None
    id: Cell = field(default_factory=Cell)


@dataclass
class Event:
    """A consent event. Events of one *batch* happened together, so their order is open."""

    consent: Cell
    state: str
    at: Cell
    purpose: str
    party: str | None
    notice: str
    ends: datetime | None
    batch: int


@dataclass
class Template:
    """A template of one face."""

    id: Cell
    enrolment: Cell
    face: int
    day: date


@dataclass
class Album:
    """The kept photos of one enrolment."""

    ids: list[Cell]
    enrolment: Cell
    day: date


@dataclass
class Grant:
    """A consent that has a row: in force, or expired before the next maintenance run."""

    id: Cell
    purpose: str
    party: str | None
    ref: Cell
    notice: str
    ends: datetime
    template: Template | None = None
    albums: list[Album] = field(default_factory=list)


@dataclass
class Comparison:
    """A comparison, as its subject sees it."""

    id: Cell
    party: str
    decision: str
    at: datetime


@dataclass
class Person:
    """A subject who is not erased."""

    id: str
    name: str | None
    registered: date
    tokens: list[Token]
    matching_period: int | None
    """None while the subject has stopped all matching."""
    events: list[Event] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)
    accesses: Counter[date] = field(default_factory=Counter)
    rights: Counter[str] = field(default_factory=Counter)
    """Receipts by kind, besides one for each event."""
    acts: Counter[str] = field(default_factory=Counter)
    """The entries of the subject, besides one for each comparison."""

    def receipts(self) -> Counter[str]:
        """Return the number of receipts of each kind."""
        return self.rights + Counter(f"consent_{one.state}" for one in self.events)

    def entries(self) -> Counter[str]:
        """Return the entries of the subject."""
        return self.acts + Counter({"comparison": len(self.comparisons)})

    def grant(self, purpose: str, party: str | None) -> Grant | None:
        """Return the grant for a purpose and a party, if there is one."""
        return next((one for one in self.grants if (one.purpose, one.party) == (purpose, party)), None)

    def enrolments(self) -> dict[str, list[Grant | Album]]:
        """Return the enrolments with a remaining template or album, by id."""
        found: dict[str, list[Grant | Album]] = {}
        for grant in self.grants:
            if grant.template is not None:
                found.setdefault(grant.template.enrolment.value or "?", []).append(grant)
            for album in grant.albums:
                found.setdefault(album.enrolment.value or "?", []).append(album)
        return found

    def parts(self, enrolment: str) -> list[Grant | Album]:
        """Return the remaining parts of one enrolment."""
        return self.enrolments().get(enrolment, [])

    def secrets(self, kind: str = "access") -> list[str]:
        """Return the valid secrets of this kind."""
        return [one.secret for one in self.tokens if one.kind == kind and one.secret is not None]


@dataclass
class Party:
    """A relying party. The secret is None if it has no key, or an unknown one."""

    id: str
    name: str
    purposes: frozenset[str]
    secret: str | None
    revoked: bool = False


@dataclass
class Data:
    """The content of a backup."""

    people: dict[str, Person] = field(default_factory=dict)
    parties: dict[str, Party] = field(default_factory=dict)
    notices: dict[str, str] = field(default_factory=dict)


@dataclass
class EndedItems:
    """Everything that ended for good, by id or secret."""

    grants: dict[str, tuple[str, Cell]] = field(default_factory=dict)
    """The state in which each ended, and the time that a restored history shows for it."""
    sealed: set[str] = field(default_factory=set)
    """Templates and photos."""
    tokens: set[str] = field(default_factory=set)
    matching_periods: set[int] = field(default_factory=set)
    people: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    parties: set[str] = field(default_factory=set)


def midnight(instant: datetime) -> datetime:
    """Return the start of the day: the register stores no more of a time."""
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass
class Model:
    """The expected state of the service, and the time."""

    now: datetime
    data: Data = field(default_factory=Data)
    ended: EndedItems = field(default_factory=EndedItems)
    counted: int = 0
    crashed: bool = False
    """Whether an end is completed from the register, which stores days only."""

    def count(self) -> int:
        """Return the next number."""
        self.counted += 1
        return self.counted

    def holder(self, secret: str | None, kind: str = "access") -> Person | None:
        """Return the subject whose secret this is, if any."""
        return next((one for one in self.data.people.values() if secret in one.secrets(kind)), None)

    def asking(self, secret: str | None) -> Party | None:
        """Return the relying party whose key this is, if any."""
        standing = (one for one in self.data.parties.values() if not one.revoked)
        return next((one for one in standing if secret is not None and one.secret == secret), None)

    def live(self, person: Person, grant: Grant) -> bool:
        """Return whether a grant can be used now."""
        return grant.ends > self.now and person.matching_period is not None

    def default_end(self) -> datetime:
        """Return the default end of a consent given now."""
        return midnight(self.now) + timedelta(days=DEFAULT_DAYS)

    # --- Endings

    def end_tokens(self, person: Person, tokens: Iterable[Token]) -> None:
        """Revoke tokens and recovery codes."""
        for one in list(tokens):
            person.tokens.remove(one)
            self.ended.tokens |= {known for known in (one.secret, one.id.value) if known is not None}

    def end_sealed(self, grant: Grant) -> None:
        """Delete the template and photos of a grant."""
        ids = [] if grant.template is None else [grant.template.id]
        ids += [one for album in grant.albums for one in album.ids]
        self.ended.sealed |= {one.value for one in ids if one.value is not None}
        grant.template, grant.albums = None, []

    def end_photos_without_template(self, person: Person) -> None:
        """Delete the photos of enrolments that have no template left."""
        with_template = [one.template.enrolment for one in person.grants if one.template is not None]
        for grant in person.grants:
            for album in [one for one in grant.albums if one.enrolment not in with_template]:
                grant.albums.remove(album)
                self.ended.sealed |= {one.value for one in album.ids if one.value is not None}

    def end(self, person: Person, grant: Grant, *, batch: int | None = None) -> Event:
        """End a grant, withdrawn or expired; after a crash or a restore only the day is known."""
        expired = grant.ends <= self.now
        instant = grant.ends if expired else self.now
        state = "expired" if expired else "withdrawn"
        times = (instant, midnight(instant)) if self.crashed or expired else (instant,)
        self.end_sealed(grant)
        person.grants.remove(grant)
        self.end_photos_without_template(person)
        if grant.id.value is not None:
            self.ended.grants[grant.id.value] = (state, Cell(midnight(instant)))
        event = self.event(person, grant, state, Cell(*times), batch=batch)
        person.events.append(event)
        return event

    def event(self, person: Person, grant: Grant, state: str, at: Cell, *, batch: int | None = None) -> Event:
        """Return a new event of a grant."""
        ends, number = grant.ends if state == "given" else None, self.count() if batch is None else batch
        return Event(grant.id, state, at, grant.purpose, grant.party, grant.notice, ends, number)

    def erase(self, person: Person) -> None:
        """Erase a subject."""
        self.end_tokens(person, person.tokens)
        for grant in person.grants:
            self.end_sealed(grant)
            if grant.id.value is not None:
                self.ended.grants[grant.id.value] = ("erased", Cell())
        self.ended.people.add(person.id)
        del self.data.people[person.id]

    def maintain(self) -> None:
        """End everything that expired, in any order."""
        for person in self.data.people.values():
            batch = self.count()
            for grant in [one for one in person.grants if one.ends <= self.now]:
                self.end(person, grant, batch=batch)

    # --- Backups

    def restore(self, backup: Data) -> None:
        """Go back to a backup without everything that has ended; then start."""
        self.data = deepcopy(backup)
        for erased in self.ended.people & set(self.data.people):
            del self.data.people[erased]
        for party in self.data.parties.values():
            party.revoked |= party.id in self.ended.parties
            party.secret = None if party.secret in self.ended.keys else party.secret
        for person in self.data.people.values():
            self._restore(person)
        self.maintain()

    def _restore(self, person: Person) -> None:
        gone = self.ended.tokens
        person.tokens = [one for one in person.tokens if not {one.secret, one.id.value} & gone]
        if person.matching_period in self.ended.matching_periods:
            person.matching_period = None
            person.rights["restriction"] += 1
        batch = self.count()
        for grant in list(person.grants):
            if (ended := self.ended.grants.get(grant.id.value or "")) is not None:
                person.grants.remove(grant)
                state, at = ended
                person.events.append(self.event(person, grant, state, Cell(*at.options), batch=batch))
        self.end_photos_without_template(person)
        self._restore_sealed(person)

    def _restore_sealed(self, person: Person) -> None:
        """Remove deleted and replaced values; an enrolment with no value left gets an entry."""
        gone = set[str | None]()
        for grant in person.grants:
            if grant.template is not None and grant.template.id.value in self.ended.sealed:
                gone.add(grant.template.enrolment.value)
                grant.template = None
            dead = [one for one in grant.albums if {cell.value for cell in one.ids} & self.ended.sealed]
            gone |= {one.enrolment.value for one in dead}
            grant.albums = [one for one in grant.albums if one not in dead]
        person.acts["enrolment_deleted"] += len(gone - person.enrolments().keys())
