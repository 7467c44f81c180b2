"""Collect the facts in force that notices state: controller, engine and times, each from the place that decides it."""

from collections.abc import Iterator

from pydantic import JsonValue

from app.compliance import notice_words
from app.consent.facts import Fact, FactKind, Facts
from app.faces.cards.card import Card, shipped_cards
from app.faces.cards.operating_point import OperatingPoint, choose_operating_point
from app.kit.text import escape_markdown
from app.rights import retention
from app.settings import Settings

DEMONSTRATION_PARTY = "Demonstration controller (prototype)"
"""The controller that notices name in `prototype`; it does not exist."""
DEMONSTRATION: dict[str, str] = {
    "controller_name": DEMONSTRATION_PARTY,
    "controller_contact": "none@example.invalid",
    "controller_note": (
        "No organisation has this name. This service is a demonstration. Do not use it at a real door."
    ),
    "responsible": (
        "This service is a prototype with a **demonstration controller**. No organisation is responsible for it."
    ),
    "authority": "the data protection authority where you live, where you work, or where you think the law was broken",
}
"""The words about the controller in `prototype`."""
RESPONSIBLE = """\
**{}** is responsible for this service.

- Address: {}
- Contact: {}
- Data protection officer: {}"""


def collect(settings: Settings, card: Card) -> Facts:
    """Return the facts in force.

    Raises:
        UnsupportedTargetError: the engine's card supports no such target, so no error rates are in force.
    """
    in_force = choose_operating_point(card, settings)
    by_name = {
        **dict(_live_controller(settings) if settings.profile == "live" else _demonstration()),
        **dict(_engine(card, in_force)),
        **{name: Fact(FactKind.TIMES, *fact) for name, fact in retention.notice_facts(settings).items()},
    }
    others = {one.id for one in shipped_cards()} - {card.id}
    return Facts(by_name=by_name, live=settings.profile == "live", other_engines=others)


def _demonstration() -> Iterator[tuple[str, Fact]]:
    for name, words in DEMONSTRATION.items():
        yield name, Fact(FactKind.CONTROLLER, words, words)


def _live_controller(settings: Settings) -> Iterator[tuple[str, Fact]]:
    name, address = settings.controller_name, settings.controller_address
    contact, officer = settings.controller_contact, settings.data_protection_officer
    yield "controller_name", _stated("MIEN_CONTROLLER_NAME", name)
    yield "controller_contact", _stated("MIEN_CONTROLLER_CONTACT", contact)
    yield "authority", _stated("MIEN_AUTHORITY", settings.authority)
    described = {
        "MIEN_CONTROLLER_NAME": name,
        "MIEN_CONTROLLER_ADDRESS": address,
        "MIEN_CONTROLLER_CONTACT": contact,
        "MIEN_DATA_PROTECTION_OFFICER": officer,
    }
    if missing := [setting for setting, value in described.items() if value is None]:
        for placeholder in ("controller_note", "responsible"):
            yield placeholder, Fact(FactKind.CONTROLLER, None, ", ".join(missing))
        return
    stated: JsonValue = list(described.values())
    note = f"Address: {address}. Data protection officer: {officer}."
    yield "controller_note", Fact(FactKind.CONTROLLER, [address, officer], note)
    shown = [escape_markdown(str(value)) for value in described.values()]
    yield "responsible", Fact(FactKind.CONTROLLER, stated, RESPONSIBLE.format(*shown))


def _stated(setting: str, value: str | None) -> Fact:
    return Fact(FactKind.CONTROLLER, value, setting if value is None else value)


def _engine(card: Card, in_force: OperatingPoint) -> Iterator[tuple[str, Fact]]:
    point, over_people, by_origin = in_force.point, in_force.over_people, in_force.by_origin
    rates: dict[str, JsonValue] = {
        "engine": card.id,
        "trial": str(card.calibration.trial["name"]),
        "target_fmr": in_force.target_fmr,
        "threshold": point.threshold,
        "fmr": point.fmr,
        "fnmr": point.fnmr,
        "fnmr_over_people": None if over_people is None else over_people.model_dump(mode="json"),
        "largest_person_share": card.calibration.largest_person_share,
        "by_group": dict(point.fmr_by_group) if by_origin is None else dict(by_origin.rates),
        "by_group_at": point.threshold if by_origin is None else by_origin.threshold,
    }
    yield "engine", Fact(FactKind.ENGINE, card.id, card.id)
    yield "template_size", Fact(FactKind.ENGINE, card.dimensions, f"{card.dimensions} numbers")
    yield "mistakes", Fact(FactKind.RATES, rates, notice_words.mistakes(card, in_force))
    yield "mistakes_in_short", Fact(FactKind.RATES, rates, notice_words.mistakes_in_short(card, in_force))
    yield "mistakes_in_searches", Fact(FactKind.RATES, rates, notice_words.mistakes_in_searches(in_force))
    agreed: JsonValue = [card.depicted_people_agreed, card.training_data, card.document.get("statement")]
    yield "training", Fact(FactKind.ENGINE, agreed, notice_words.training(card))
