"""The privacy notice (GDPR Art. 13) in Markdown: the text for people whose data is collected."""

from collections.abc import Iterator

from app.compliance.documents import common
from app.compliance.documents.markdown import escaped, table
from app.faces.cards import operating_point
from app.rights import explanations

INTRODUCTION = {
    "prototype": (
        "**This is a demonstration. No organisation is responsible for it, and it is not for real people's data.** "
        "The text below shows how a privacy notice would read."
    ),
    "live": "Read this before you decide. The notice of each purpose says more about it.",
}
VOLUNTARY = (
    "You do not have to agree, and you can stop on any day. Nothing that you are entitled to may depend on it. Each "
    "relying party must offer a way without your face, at no extra cost or delay."
)


def text(source: common.Source) -> str:
    """Return the text."""
    return "\n".join(_lines(source))


def _lines(source: common.Source) -> Iterator[str]:
    controller = common.controller(source.settings)
    yield from ("# What happens with your data", "", INTRODUCTION[source.settings.profile], "")
    yield from ("## Who is responsible", "")
    yield from (f"- {name.replace('_', ' ').capitalize()}: {escaped(value)}" for name, value in controller.items())
    yield from ("", "## Purposes and legal basis", "")
    for purpose in common.purposes(source):
        names = escaped(", ".join(purpose["asked_by"]))
        yield f"- To {escaped(purpose['in_words'])}. Legal basis: {purpose['legal_basis']}. Asked by: {names}."
    yield from ("", "## Who learns what", "")
    yield from _recipients(common.recipients(source))
    yield from ("", f"Transfers to other countries: {common.TRANSFERS}.", "", "## How long data is kept", "")
    yield from table(common.time_limits(source.settings))
    yield from ("", "## How a decision is made", "", explanations.LOGIC, "", _errors(source), "")
    yield from ("## Your rights", "", "You can use each of them as often as you like.", "")
    yield from (f"- **{one.right}** ({one.law}): {one.what} `{one.how}`" for one in explanations.RIGHTS)
    yield from ("", f"The authority: {escaped(controller['authority'])}.", "", VOLUNTARY, "")
    yield f"Your data comes from {explanations.SOURCE}."


def _recipients(recipients: list[common.Document]) -> Iterator[str]:
    if not recipients:
        yield "There is no relying party now, so no one learns anything."
    for one in recipients:
        yield (
            f"- **{escaped(one['name'])}** ({escaped(one['contact'])}), if you consent to it. "
            f"Use: {escaped(one['context'])}. Its legal basis: {escaped(one['legal_basis'])}. "
            f"It learns {one['learns']}. Without your face: {escaped(one['alternative'])}"
        )


def _errors(source: common.Source) -> str:
    in_force = operating_point.choose_operating_point(source.card, source.settings)
    point, people, by_origin = in_force.point, in_force.over_people, in_force.by_origin
    over_people = (
        f"Counted once for each person, it missed {people.fnmr:.1%} (at {people.threshold:g})."
        if people
        else "There is no rate that counts each person once."
    )
    second = (
        f"In the worst group of a second trial ({by_origin.worst()}) it took {by_origin.rates[by_origin.worst()]:.2%} "
        "of pairs of different people for one person."
        if by_origin
        else "There is no second trial, so the rates for further groups of people are unknown."
    )
    return (
        f"The engine makes mistakes, and more for some groups of people than for others. In its trial it took "
        f"{point.fmr:.2%} of pairs of different people for one person, and missed {point.fnmr:.1%} of pairs of one "
        f"person. A person with many photos has more pairs. {over_people} {second}"
    )
