"""What has to be there before real people are enrolled or compared, each with its reason and what to do. Pure.

A program cannot say that a use is lawful: whether consent is free, or a face needed at all, people have to judge. What
it can see is what is missing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint
from app.settings import Settings

DO = "use an engine whose card has labelled groups, and set MIEN_TARGET_GROUP=worst, or lower MIEN_TARGET_FMR"
DEMONSTRATION_PARTY = "Demonstration controller (prototype)"
"""Whom the shipped notices name as the controller: nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDescription:
    """A relying party that may ask now."""

    name: str
    context: str | None
    legal_basis: str | None
    alternative: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNotice:
    """A notice that people read: in force, or one that they consented to."""

    name: str
    """Its purpose, language and version."""
    controllers: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """What there is."""

    settings: Settings
    card: Card
    parties: Sequence[PartyDescription]
    notices: Sequence[PublishedNotice]
    """In force now."""
    consented: Sequence[PublishedNotice]
    """On which consents stand that are in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One thing that `live` asks for."""

    name: str
    met: bool
    found: str
    why: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveReport:
    """All of them, and what is not asked for but should be known."""

    requirements: Sequence[Requirement]
    warnings: Sequence[str]

    @property
    def missing(self) -> list[Requirement]:
        """Return those that are not met."""
        return [one for one in self.requirements if not one.met]


def check_requirements(situation: ServiceState) -> LiveReport:
    """Say what is there of what `live` asks for, and what is missing."""
    requirements = (
        *_who(situation.settings),
        *(_party(one) for one in situation.parties),
        *(_notice(situation.settings, one) for one in situation.notices),
        _consents(situation.consented),
        *_keys(situation.settings),
        _rates(situation),
    )
    return LiveReport(requirements=requirements, warnings=list(_warnings(situation)))


def _who(settings: Settings) -> Iterator[Requirement]:
    asked = (
        ("controller name", "controller_name", "people have to know who answers (GDPR Art. 13(1)(a))", "the name"),
        (
            "controller address",
            "controller_address",
            "a controller that cannot be found answers to nobody",
            "where it is",
        ),
        (
            "controller contact",
            "controller_contact",
            "people turn to it with their rights (Art. 12)",
            "where to reach it",
        ),
        (
            "data protection officer",
            "data_protection_officer",
            "biometric data on a large scale needs one, and people may reach them (Art. 37, 38(4), 13(1)(b))",
            "the officer, or who has that task where none is required,",
        ),
        ("authority", "authority", "people may complain to it (Art. 13(2)(d), 77)", "the supervising authority"),
    )
    for name, field, why, what in asked:
        value = getattr(settings, field)
        do = f"say {what} in MIEN_{field.upper()}"
        yield Requirement(name=name, met=value is not None, found=value or "not said", why=why, do=do)


def _party(party: PartyDescription) -> Requirement:
    said = {"context": party.context, "legal basis": party.legal_basis, "alternative": party.alternative}
    lacking = [name for name, value in said.items() if value is None]
    return Requirement(
        name=f"relying party {party.name}",
        met=not lacking,
        found=f"lacks its {' and its '.join(lacking)}" if lacking else "described",
        why="consent is to one stated use, and free only with another way in (Art. 4(11), 7(4), 9(2)(a))",
        do="mien relying-party describe ID --context … --legal-basis … --alternative …, or revoke it",
    )


def _notice(settings: Settings, notice: PublishedNotice) -> Requirement:
    named = settings.controller_name in notice.controllers
    return Requirement(
        name=f"notice {notice.name}",
        met=named,
        found=f"names {', '.join(notice.controllers) or 'nobody'} as the controller",
        why="what people consent to has to say to whom (Art. 13(1)(a); EDPB Guidelines 05/2020)",
        do="publish one with MIEN_CONTROLLER_NAME under pii_controllers: mien notice publish FILE",
    )


def _consents(consented: Sequence[PublishedNotice]) -> Requirement:
    on_demonstration = [one.name for one in consented if DEMONSTRATION_PARTY in one.controllers]
    return Requirement(
        name="consents",
        met=not on_demonstration,
        found=f"some were given on {', '.join(on_demonstration)}" if on_demonstration else "none to the demonstration",
        why="a consent to a demonstration is not one to the controller (Art. 4(11), 7(1))",
        do="begin with empty directories, or wait until these consents have ended",
    )


def _keys(settings: Settings) -> Iterator[Requirement]:
    yield Requirement(
        name="register apart",
        met=settings.keys_apart,
        found=f"the register is in {settings.register_dir}",
        why="a copy of the data that holds its keys can undo every erasure (Art. 17, 32)",
        do="point MIEN_KEYS_DIR outside MIEN_DATA_DIR",
    )
    yield Requirement(
        name="key-encryption key apart",
        met=settings.kek_apart,
        found="apart" if settings.kek_apart else "it lies with the keys that it opens, or with the data",
        why="whoever copies the keys should not copy what opens them (Art. 32(1)(a))",
        do="give it in MIEN_KEK, or as MIEN_KEK_FILE in a directory of its own",
    )


def _rates(situation: ServiceState) -> Requirement:
    in_force = operating_point.chosen(situation.card, situation.settings)
    target, point = in_force.target_fmr, in_force.point
    above = {group: rate for group, rate in point.fmr_by_group.items() if rate > target}
    told = ", ".join(f"{group} {rate:.2g}" for group, rate in (above or point.fmr_by_group).items())
    return Requirement(
        name="error rates",
        met=bool(point.fmr_by_group) and not above,
        found=f"{'over' if above else 'within'} {target:g} at threshold {point.threshold:g}: {told}",
        why="an average that holds hides groups in which it does not (Art. 5(1)(a), (d))",
        do="nothing" if not above and point.fmr_by_group else DO,
    )


def group_warnings(in_force: OperatingPoint) -> Iterator[str]:
    """Say in which groups of the second trial the target is missed, the worst first."""
    by_origin, missed = in_force.by_origin, in_force.missed_by_origin
    if by_origin is None:
        yield "no second trial tells in which groups of people the engine errs more"
    elif missed:
        worst_first = sorted(missed, key=lambda group: missed[group], reverse=True)
        times = missed[worst_first[0]] / in_force.target_fmr
        told = ", ".join(f"{group} {missed[group]:.2g}" for group in worst_first)
        yield (
            f"THE TARGET OF {in_force.target_fmr:g} IS MISSED, by up to {times:.0f} times, "
            f"between people of one origin and sex in a second trial ({by_origin.trial}; measured at "
            f"{by_origin.threshold:g}, in force is {in_force.threshold:g}): {told}"
        )


def _warnings(situation: ServiceState) -> Iterator[str]:
    settings, card = situation.settings, situation.card
    yield from group_warnings(operating_point.chosen(card, settings))
    if not card.depicted_people_agreed:
        yield f"the people in the pictures that {card.id} learnt from did not agree to it"
    proxy = f"through {settings.trusted_proxies}" if settings.trusted_proxies else "with no proxy set"
    yield f"Mien speaks HTTP, {proxy}: end TLS in front of it, and name that proxy in MIEN_TRUSTED_PROXIES"
    for one in situation.consented:
        if settings.controller_name not in one.controllers and DEMONSTRATION_PARTY not in one.controllers:
            yield f"consents stand on {one.name}, which names {', '.join(one.controllers)}: is that you?"
