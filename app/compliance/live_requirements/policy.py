"""The requirements of the live profile, each with its reason and the next step. Pure.

A program cannot judge whether a use is lawful, a consent free, or a face needed at all. It can only find gaps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint
from app.settings import Settings

USE_ANOTHER_ENGINE = (
    "use an engine whose card has labelled groups, and set MIEN_TARGET_GROUP=worst, or lower MIEN_TARGET_FMR"
)
DEMONSTRATION_PARTY = "Demonstration controller (prototype)"
"""The controller that the shipped notices name; it does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDescription:
    """A relying party in force, as people see it."""

    name: str
    context: str | None
    legal_basis: str | None
    alternative: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNotice:
    """A notice, and the controllers that it names."""

    name: str
    """Purpose, language and version."""
    controllers: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The facts that the requirements are checked against."""

    settings: Settings
    card: Card
    parties: Sequence[PartyDescription]
    notices: Sequence[PublishedNotice]
    """In force now."""
    consented: Sequence[PublishedNotice]
    """Read for a consent that is in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement of the live profile."""

    name: str
    met: bool
    found: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """All requirements, and warnings about facts that are not required."""

    requirements: Sequence[Requirement]
    warnings: Sequence[str]

    @property
    def missing(self) -> list[Requirement]:
        """Return the requirements that are not met."""
        return [one for one in self.requirements if not one.met]


CONTROLLER = (
    ("controller name", "controller_name", "people must know who is responsible (GDPR Art. 13(1)(a))", "the name"),
    (
        "controller address",
        "controller_address",
        "people must be able to find the controller (Art. 13(1)(a))",
        "the postal address",
    ),
    (
        "controller contact",
        "controller_contact",
        "people use it to exercise their rights (Art. 12)",
        "an address that answers people",
    ),
    (
        "data protection officer",
        "data_protection_officer",
        "large-scale biometric data needs an officer whom people can reach (Art. 37, 38(4), 13(1)(b))",
        "the officer, or the person with that task if no officer is required,",
    ),
    (
        "authority",
        "authority",
        "people may complain to the authority (Art. 13(2)(d), 77)",
        "the supervisory authority",
    ),
)
"""Name, setting, reason and value of each requirement about the controller."""


def check_requirements(state: ServiceState) -> LiveReport:
    """Return every requirement with its result."""
    requirements = (
        *_controller(state.settings),
        *(_party(one) for one in state.parties),
        *(_notice(state.settings, one) for one in state.notices),
        _consents(state.consented),
        *_keys(state.settings),
        _rates(state),
    )
    return LiveReport(requirements=requirements, warnings=list(_warnings(state)))


def _controller(settings: Settings) -> Iterator[Requirement]:
    for name, setting, why, value in CONTROLLER:
        current: str | None = getattr(settings, setting)
        do = f"write {value} into MIEN_{setting.upper()}"
        yield Requirement(name=name, met=current is not None, found=current or "not set", why=why, do=do)


def _party(party: PartyDescription) -> Requirement:
    described = {"context": party.context, "legal basis": party.legal_basis, "alternative": party.alternative}
    lacking = [name for name, value in described.items() if value is None]
    return Requirement(
        name=f"relying party {party.name}",
        met=not lacking,
        found=f"lacks its {' and its '.join(lacking)}" if lacking else "described",
        why="a consent needs one stated use, and is free only if there is another way in (Art. 4(11), 7(4), 9(2)(a))",
        do="mien relying-party describe ID --context … --legal-basis … --alternative …, or revoke it",
    )


def _notice(settings: Settings, notice: PublishedNotice) -> Requirement:
    return Requirement(
        name=f"notice {notice.name}",
        met=settings.controller_name in notice.controllers,
        found=f"names {', '.join(notice.controllers) or 'no one'} as the controller",
        why="people must read which controller they consent to (Art. 13(1)(a); EDPB Guidelines 05/2020)",
        do="publish a notice with MIEN_CONTROLLER_NAME under pii_controllers: mien notice publish FILE",
    )


def _consents(consented: Sequence[PublishedNotice]) -> Requirement:
    demonstration = [one.name for one in consented if DEMONSTRATION_PARTY in one.controllers]
    return Requirement(
        name="consents",
        met=not demonstration,
        found=f"some were given to the demonstration, on {', '.join(demonstration)}"
        if demonstration
        else "none was given to the demonstration",
        why="a consent to the demonstration does not cover the controller (Art. 4(11), 7(1))",
        do="begin with empty directories, or wait until these consents have ended",
    )


def _keys(settings: Settings) -> Iterator[Requirement]:
    yield Requirement(
        name="register apart",
        met=settings.keys_apart,
        found=f"the register is in {settings.register_dir}",
        why="a copy of the data that includes its keys can undo every erasure (Art. 17, 32)",
        do="point MIEN_KEYS_DIR outside MIEN_DATA_DIR",
    )
    yield Requirement(
        name="key-encryption key apart",
        met=settings.kek_apart,
        found="apart" if settings.kek_apart else "stored with the keys that it opens, or with the data",
        why="a copy of the wrapped keys must not include the key that opens them (Art. 32(1)(a))",
        do="give it in MIEN_KEK, or as MIEN_KEK_FILE in a directory of its own",
    )


def _rates(state: ServiceState) -> Requirement:
    in_force = operating_point.choose_operating_point(state.card, state.settings)
    target, point = in_force.target_fmr, in_force.point
    above = {group: rate for group, rate in point.fmr_by_group.items() if rate > target}
    met = bool(point.fmr_by_group) and not above
    return Requirement(
        name="error rates",
        met=met,
        found=f"{'over' if above else 'within'} {target:g} at threshold {point.threshold:g}: "
        + ", ".join(f"{group} {rate:.2g}" for group, rate in (above or point.fmr_by_group).items()),
        why="a good average can hide a group with more errors (Art. 5(1)(a), (d))",
        do="nothing" if met else USE_ANOTHER_ENGINE,
    )


def group_warnings(in_force: OperatingPoint) -> Iterator[str]:
    """Warn of the groups in the card's second trial that miss the target, the worst first."""
    by_origin, missed = in_force.by_origin, in_force.missed_by_origin
    if by_origin is None:
        yield "the card has no second trial, so error rates for further groups of people are unknown"
    elif missed:
        worst_first = sorted(missed, key=lambda group: missed[group], reverse=True)
        times = missed[worst_first[0]] / in_force.target_fmr
        groups = ", ".join(f"{group} {missed[group]:.2g}" for group in worst_first)
        yield (
            f"THE TARGET OF {in_force.target_fmr:g} IS MISSED, by up to {times:.0f} times, "
            f"between people of one origin and sex in a second trial ({by_origin.trial}; measured at "
            f"{by_origin.threshold:g}, in force is {in_force.threshold:g}): {groups}"
        )


def _warnings(state: ServiceState) -> Iterator[str]:
    settings, card = state.settings, state.card
    yield from group_warnings(operating_point.choose_operating_point(card, settings))
    if not card.depicted_people_agreed:
        yield f"the people in the training pictures of {card.id} did not agree to this use"
    proxy = f"through {settings.trusted_proxies}" if settings.trusted_proxies else "with no proxy set"
    yield f"Mien speaks HTTP, {proxy}: put a proxy with TLS in front, and name it in MIEN_TRUSTED_PROXIES"
    for one in state.consented:
        if settings.controller_name not in one.controllers and DEMONSTRATION_PARTY not in one.controllers:
            yield f"some consents were given on {one.name}, which names {', '.join(one.controllers)}: is that you?"
