"""What people are told when their data is collected (GDPR Art. 13), as one text in Markdown."""

from collections.abc import Iterator

from app.compliance.documents import common as described
from app.compliance.documents.markdown import escaped, table
from app.faces.cards import operating_point
from app.rights import access

WELCOME = {
    "prototype": (
        "**This is a demonstration. Nobody answers for it, and it is not for real people's data.** The text below is "
        "what it would say."
    ),
    "live": "You read this before you decide. What you agree to is in the notice of each purpose, which says more.",
}


def text(asked: described.Source) -> str:
    """Return the text."""
    return "\n".join(_lines(asked))


def _lines(asked: described.Source) -> Iterator[str]:
    who = described.controller(asked.settings)
    yield from ("# What happens with your data", "", WELCOME[asked.settings.profile], "")
    yield from ("## Who answers for it", "")
    yield from (f"- {name.replace('_', ' ').capitalize()}: {escaped(said)}" for name, said in who.items())
    yield from ("", "## What for, and on which ground", "")
    for purpose in described.purposes(asked):
        names = escaped(", ".join(purpose["asked_by"]))
        yield f"- To {escaped(purpose['in_words'])}. Ground: {purpose['legal_basis']}. Asked for by: {names}."
    yield from ("", "## Who learns what", "")
    yield from _recipients(described.recipients(asked))
    yield from ("", f"To other countries: {described.TRANSFERS}.", "", "## How long", "")
    yield from table(described.time_limits(asked.settings))
    yield from ("", "## How it is decided", "", access.LOGIC, "", _errors(asked), "")
    yield from ("## What you can do, whenever you like", "")
    yield from (f"- **{one.right}** ({one.law}): {one.what} `{one.how}`" for one in access.RIGHTS)
    yield from ("", f"The authority: {escaped(who['authority'])}.", "", FREE, "")
    yield f"Your data comes from {access.SOURCE}."


def _recipients(found: list[described.Document]) -> Iterator[str]:
    if not found:
        yield "Nobody now: there is no relying party."
    for one in found:
        yield (
            f"- **{escaped(one['name'])}** ({escaped(one['contact'])}), where you consent to it. "
            f"What for: {escaped(one['context'])}. Its ground: {escaped(one['legal_basis'])}. "
            f"It learns {one['learns']}. Without your face: {escaped(one['alternative'])}"
        )


def _errors(asked: described.Source) -> str:
    in_force = operating_point.chosen(asked.card, asked.settings)
    point, by_origin = in_force.point, in_force.by_origin
    second = (
        f"; in the worst group of a second trial ({by_origin.worst()}) it took "
        f"{by_origin.rates[by_origin.worst()]:.2%} of pairs of different people for one."
        if by_origin
        else "; no second trial tells of further groups."
    )
    return (
        f"It makes mistakes, and not equally for everyone. On its trial it took {point.fmr:.2%} of pairs of different "
        f"people for one, and missed {point.fnmr:.1%} of pairs of one person{second}"
    )


FREE = (
    "You need not agree, and may stop on any day. Nothing that you are entitled to may depend on it: each relying "
    "party must offer a way without your face, at no extra cost or delay."
)
