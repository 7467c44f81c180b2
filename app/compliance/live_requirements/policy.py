"""The requirements of the live profile, each with its reason and the next step. Pure.

A program cannot judge whether a use is lawful, a consent free, or a face needed at all. It can only find gaps.
"""

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.compliance.live_requirements.floors import find_hollow
from app.compliance.notice_facts import DEMONSTRATION_PARTY
from app.db.store import Server
from app.faces.cards import operating_point
from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint
from app.faces.permit import Purpose
from app.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyDescription:
    """A relying party in force, as people see it."""

    name: str
    context: str | None
    legal_basis: str | None
    alternative: str
    purposes: Sequence[Purpose]


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNotice:
    """A notice, the controllers that it names, and the facts in it that are no longer true."""

    name: str
    """Purpose, language and version."""
    purpose: Purpose
    controllers: Sequence[str]
    changed: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """The facts that the requirements are checked against."""

    settings: Settings
    card: Card
    parties: Sequence[PartyDescription]
    notices: Sequence[PublishedNotice]
    """The latest in each language, except retired ones."""
    consented: Sequence[PublishedNotice]
    """Read for a consent that is in force."""
    sandbox: Sequence[str] | None
    """Protections that the sandbox of the engine workers lacks; None if no worker has reported them."""
    process: Sequence[str]
    """Protections that this process lacks."""
    servers: tuple[Server, Server] | None
    """The PostgreSQL servers of data and register. None on SQLite."""
    exposed: Sequence[str]
    """The directories and files of the stores that other users could read or change, each with the next step."""


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
        return [requirement for requirement in self.requirements if not requirement.met]


CONTROLLER = ("controller_name", "controller_address", "controller_contact", "data_protection_officer", "authority")
"""The settings that describe the controller."""
_TEXTS = tomllib.loads(Path(__file__).with_name("requirements.toml").read_text("utf-8"))


def check_requirements(state: ServiceState) -> LiveReport:
    """Return every requirement with its result."""
    requirements = (
        *_controller(state.settings),
        *(_party(one) for one in state.parties),
        *_notices(state),
        _consents(state.consented),
        *_keys(state),
        *_durable(state),
        _rates(state),
        _sandbox(state.sandbox),
        _process(state.process),
        _requirement("stores_closed", met=not state.exposed, found="; ".join(state.exposed) or "closed"),
        *_floors(state.settings),
    )
    return LiveReport(requirements=requirements, warnings=list(_warnings(state)))


def _requirement(texts: str, *, met: bool, found: str, of: str = "") -> Requirement:
    name, why, do = (_TEXTS[texts][part] for part in ("name", "why", "do"))
    return Requirement(name=name.replace("$of", of), met=met, found=found, why=why, do=do)


def _controller(settings: Settings) -> Iterator[Requirement]:
    for setting in CONTROLLER:
        current: str | None = getattr(settings, setting)
        yield _requirement(setting, met=current is not None, found=current or "not set")


def _party(party: PartyDescription) -> Requirement:
    described = {"context": party.context, "legal basis": party.legal_basis, "alternative": party.alternative}
    lacking = [name for name, value in described.items() if value is None]
    found = f"lacks its {' and its '.join(lacking)}" if lacking else "described"
    return _requirement("party", of=party.name, met=not lacking, found=found)


def _notices(state: ServiceState) -> Iterator[Requirement]:
    """Yield the requirements on notices of the purposes in use.

    A purpose is in use if a relying party asks for it; template renewal, if it has a notice that is not retired.
    """
    asked = {purpose for party in state.parties for purpose in party.purposes}
    for notice in state.notices:
        if notice.purpose in asked | {Purpose.TEMPLATE_RENEWAL}:
            yield _notice(state.settings, notice)
    for purpose in sorted(asked - {notice.purpose for notice in state.notices}):
        yield _requirement(
            "notice", of=purpose, met=False, found="a relying party asks for this, but none is published"
        )


def _notice(settings: Settings, notice: PublishedNotice) -> Requirement:
    found = f"names {', '.join(notice.controllers) or 'no one'} as the controller"
    if notice.changed:
        found += f"; stale, because these facts changed: {', '.join(notice.changed)}"
    met = settings.controller_name in notice.controllers and not notice.changed
    return _requirement("notice", of=notice.name, met=met, found=found)


def _consents(consented: Sequence[PublishedNotice]) -> Requirement:
    demonstration = [notice.name for notice in consented if DEMONSTRATION_PARTY in notice.controllers]
    found = (
        f"some were given to the demonstration, on {', '.join(demonstration)}"
        if demonstration
        else "none was given to the demonstration"
    )
    return _requirement("consents", met=not demonstration, found=found)


def _keys(state: ServiceState) -> Iterator[Requirement]:
    settings, servers = state.settings, state.servers
    met, found = settings.keys_apart, f"the register is in {settings.register_dir}"
    if servers is not None:
        data, register = servers
        met = data.system_identifier != register.system_identifier and register.archive_mode == "off"
        found = f"data in cluster {data.system_identifier}, register in {register.system_identifier}, whose log is " + (
            "not archived" if register.archive_mode == "off" else "archived, with keys that were destroyed since"
        )
    yield _requirement("keys_apart", met=met, found=found)
    found = "apart" if settings.kek_apart else "stored with the keys that it opens, or with the data"
    yield _requirement("kek_apart", met=settings.kek_apart, found=found)


def _durable(state: ServiceState) -> Iterator[Requirement]:
    """Yield the requirement on PostgreSQL. On SQLite each connection asks for durable commits itself."""
    if state.servers is None:
        return
    lacking = {
        f"{name} of the {store} is {value or 'empty'}"
        for store, server in zip(("data", "register"), state.servers, strict=True)
        for name, value in server.durability.items()
        if value in {"off", ""} and not (name == "synchronous_standby_names" and state.settings.without_standby)
    }
    yield _requirement("durable", met=not lacking, found=", ".join(sorted(lacking)) or "set")


def _rates(state: ServiceState) -> Requirement:
    in_force = operating_point.choose_operating_point(state.card, state.settings)
    target, point = in_force.target_fmr, in_force.point
    above = {group: rate for group, rate in point.fmr_by_group.items() if rate > target}
    rates = ", ".join(f"{group} {rate:.2g}" for group, rate in (above or point.fmr_by_group).items())
    found = f"{'over' if above else 'within'} {target:g} at threshold {point.threshold:g}: {rates}"
    met = bool(point.fmr_by_group) and not above
    requirement = _requirement("rates", met=met, found=found)
    return replace(requirement, do="nothing") if met else requirement


def _sandbox(lacking: Sequence[str] | None) -> Requirement:
    found = f"lacks {', '.join(lacking)}" if lacking else "full" if lacking is not None else "no worker has reported it"
    return _requirement("sandbox", met=lacking is not None and not lacking, found=found)


def _process(lacking: Sequence[str]) -> Requirement:
    return _requirement("process", met=not lacking, found=f"lacks {', '.join(lacking)}" if lacking else "closed")


def _floors(settings: Settings) -> Iterator[Requirement]:
    """Yield a requirement for each setting that would make a law hollow; one that is met if there is none."""
    hollow = list(find_hollow(settings))
    for one in hollow:
        found = f"{one.value!r} makes a law hollow; {one.accepted} is accepted"
        yield Requirement(
            name=f"setting {one.variable}", met=False, found=found, why=one.why, do=f"change {one.variable}"
        )
    if not hollow:
        yield _requirement("floors", met=True, found="no setting makes a law hollow")


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
    for notice in state.consented:
        if not {settings.controller_name, DEMONSTRATION_PARTY} & set(notice.controllers):
            names = ", ".join(notice.controllers)
            yield f"some consents were given on {notice.name}, which names {names}: is that you?"
