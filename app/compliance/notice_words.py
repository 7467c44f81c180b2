"""Error rates of the engine in force, in words that people understand. Pure."""

from collections.abc import Iterator, Mapping
from math import floor, log10
from textwrap import fill

from app.faces.cards.card import Card
from app.faces.cards.operating_point import OperatingPoint

SEARCHED = 1000
"""People in the gallery of the example of a search."""
SEARCHES = 100
LINE = 120
"""Characters in a line of a notice."""
CLOSE = 0.075
"""Largest relative error of a rate that is rounded to one digit."""
TEST_PEOPLE = {
    "yes": "The people in the test photos agreed to it.",
    "no": "The people in the test photos did not agree to it.",
    "unknown": "We do not know if the people in the test photos agreed to it.",
}
"""By the operator's statement about the images of an own trial. Those of the shipped trials were not asked."""
_SEXES = {"F": "women", "M": "men"}
_PAIRS = {"FF": "two women", "MM": "two men", "FM": "a woman and a man"}


def rate(value: float) -> str:
    """Return a rate as a count: 0.000476 is "5 in 10,000", 0.18 is "18 in 100"."""
    if value <= 0:
        return "none"
    power = max(2, -floor(log10(value)))
    count = round(value * 10**power)
    if abs(count / 10**power - value) > CLOSE * value:
        power += 1
        count = round(value * 10**power)
    return f"{count:,} in {10**power:,}"


def group(name: str) -> str:
    """Return the name of a group in words: Asian-F is "Asian women"; other names stay."""
    origin, _, sex = name.rpartition("-")
    return f"{origin} {_SEXES[sex]}" if origin and sex in _SEXES else _PAIRS.get(name, name)


def mistakes(card: Card, in_force: OperatingPoint) -> str:
    """Return the paragraphs about mistakes: on average, and by group, each with the limit that it was measured at."""
    paragraphs = (_averages(card, in_force), *_by_group(in_force))
    return "\n\n".join(one if one.startswith("|") else fill(one, LINE, break_on_hyphens=False) for one in paragraphs)


def _averages(card: Card, in_force: OperatingPoint) -> str:
    point = in_force.point
    return (
        f"The program that measures faces is called `{card.id}`. It works out how far apart two faces are. Below a "
        f"limit it says **match**. The limit in use is {in_force.threshold:g}. A test shows how often the program is "
        f"wrong at this limit (`{_plain(card.calibration.trial['name'])}`). About {rate(point.fmr)} comparisons of two "
        f"*different* people came out as a match. About {rate(point.fnmr)} comparisons of two photos of *one* person "
        f"came out as **no match**. {_over_people(card, in_force)} It helps to enrol more than one photo."
    )


def _over_people(card: Card, in_force: OperatingPoint) -> str:
    """Return the sentences on whom the count of missed matches is about, and on the count over people."""
    share, found = card.calibration.largest_person_share, in_force.over_people
    text = "In that count, a person with many photos counts more."
    if share is not None:
        text += f" One single person makes up {rate(share)} of those comparisons."
    if found is None:
        return f"{text} We have no count in which each person counts once."
    groups = " and ".join(
        f"{rate(value)} for {_plain(_SEXES.get(name, name))}" for name, value in found.fnmr_by_group.items()
    )
    how = "the test found" if found.trial == card.calibration.trial["name"] else "a second run of the test found"
    where = "" if found.threshold == in_force.threshold else f" at a limit of {found.threshold:g}"
    text += f" If each person counts once, {how} {rate(found.fnmr)}{where}."
    return f"{text} It was {groups}." if groups else text


def _by_group(in_force: OperatingPoint) -> Iterator[str]:
    rates, test = _group_rates(in_force)
    if not rates:
        yield "The test did not tell groups of people apart. So we do not know for whom it is wrong more often."
        return
    yield (
        f"The average hides a lot. Here is how often the program took two *different* people of one group for one "
        f"person. {test}"
    )
    rows = (
        f"| {_plain(group(name))} | {rate(value)} |" for name, value in sorted(rates.items(), key=lambda one: one[1])
    )
    yield "\n".join(("| group | wrong matches |", "|---|---|", *rows))
    worst = max(rates, key=lambda name: rates[name])
    yield (
        f"So the program is wrong most often for this group: {_plain(group(worst))}. Of two strangers of it, it "
        f"would take one for the other in about {rate(rates[worst])} tries. {_aim(in_force, rates)} You can see the "
        "program and the rates in use now at `GET /v1/engine`."
    )


def _group_rates(in_force: OperatingPoint) -> tuple[Mapping[str, float], str]:
    """Return the rates by group, and the sentences on where they come from."""
    by_origin = in_force.by_origin
    if by_origin is None:
        return in_force.point.fmr_by_group, "It was measured in the same test, at the same limit."
    test = f"It was measured in another test (`{_plain(by_origin.trial)}`)."
    if by_origin.threshold == in_force.threshold:
        return by_origin.rates, f"{test} The limit was the same."
    more, less = ("more", "lower") if by_origin.threshold > in_force.threshold else ("fewer", "higher")
    return by_origin.rates, (
        f"{test} The limit there was {by_origin.threshold:g}, which lets {more} people match. At the limit in use, "
        f"{in_force.threshold:g}, these figures would be {less}."
    )


def _aim(in_force: OperatingPoint, rates: Mapping[str, float]) -> str:
    aim = f"We aim at no more than {rate(in_force.target_fmr)}."
    missed = any(value > in_force.target_fmr for value in rates.values())
    return f"{aim} **For each group above that, the program misses the aim.**" if missed else aim


def mistakes_in_short(card: Card, in_force: OperatingPoint) -> str:
    """Return two or three sentences about mistakes."""
    rates, _ = _group_rates(in_force)
    text = (
        f"The one in use now is called `{card.id}`. In a test, about {rate(in_force.point.fmr)} comparisons of two "
        f"*different* people came out as a match. About {rate(in_force.point.fnmr)} comparisons of *one* person did "
        f"not. {_over_people(card, in_force)}"
    )
    if not rates:
        return text
    best, worst = (end(rates, key=lambda name: rates[name]) for end in (min, max))
    return (
        f"{text} Wrong matches differ by group: from {rate(rates[best])} ({_plain(group(best))}) to "
        f"{rate(rates[worst])} ({_plain(group(worst))})."
    )


def mistakes_in_searches(in_force: OperatingPoint) -> str:
    """Return the consequence of the error rates for a search among many people."""
    rates, _ = _group_rates(in_force)
    made = SEARCHED * SEARCHES
    text = (
        f"A search among {SEARCHED:,} people makes {SEARCHED:,} comparisons. In {SEARCHES} such searches, about "
        f"{_count(in_force.point.fmr * made)} strangers would match by mistake."
    )
    if not rates:
        return text
    worst = max(rates, key=lambda name: rates[name])
    return f"{text} Among people of one group ({_plain(group(worst))}), it could be {_count(rates[worst] * made)}."


def training(card: Card) -> str:
    """Return the sentences about the people in the training and test photos."""
    agreed = (
        "**The people in the training photos agreed to it.**"
        if card.depicted_people_agreed
        else "**The program learned from people who were not asked.**"
    )
    statement = card.document.get("statement")
    test = TEST_PEOPLE[statement["people_agreed"]] if statement else "The people in the test photos were not asked."
    return f"{agreed} Its card says this about the photos. {_sentence(card.training_data)} {test}"


def _count(number: float) -> str:
    digits = max(0, floor(log10(number)) - 1) if number >= 1 else 0
    return f"{round(number, -digits):,.0f}" if number >= 1 else "fewer than 1"


def _sentence(text: str) -> str:
    """Return *text* as one paragraph that ends with a full stop."""
    words = " ".join(text.split())
    return words if words.endswith((".", "!", "?")) else f"{words}."


def _plain(text: str) -> str:
    """Return a name from a card without the marks that end a cell or a code span."""
    return " ".join(text.replace("`", "'").replace("|", "/").split())
