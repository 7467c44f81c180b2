"""The report as one HTML file without scripts or external files."""

from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.evaluation.groups import FEW_PEOPLE
from app.evaluation.number_format import bounds, plain, rate, seen, whole
from app.evaluation.plotting import load_figures
from app.evaluation.refusals import USE_WORDS, describe_difference, describe_refusals
from app.evaluation.report import AGREED
from app.evaluation.summary import (
    describe_galleries,
    describe_rates,
    describe_supports,
    describe_threshold,
    describe_trial,
)

CAPTIONS: Final = {
    "det": ("Detection error tradeoff", "False non-match rate against false match rate as the threshold moves."),
    "histograms": ("Genuine and impostor pairs", "Their share at each distance. Where they overlap the engine errs."),
    "groups": (
        "False match rate by group",
        "Between people of each pair of groups, the worst first; six at most.",
    ),
    "references": (
        "Misses by enrolled images",
        "False non-match rate with their mean, and with the nearest of them.",
    ),
    "identification": ("Strangers found in a gallery", "False positive identification rate against the people in it."),
}
"""Title and description of each figure."""


def render_page(document: dict[str, Any]) -> str:
    """Render the report as an HTML page."""
    drawn = load_figures("plots")(document)
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(autoescape=True, loader=loader, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"rate": rate, "bounds": bounds, "whole": whole, "seen": seen}
    environment.filters["threshold"] = describe_threshold
    environment.filters |= {"plain": plain, "difference": describe_difference}
    return environment.get_template("report.html").render(
        **document,
        tested={**describe_trial(document), **describe_refusals(document)},
        rates=describe_rates(document),
        gallery_tables=describe_galleries(document),
        largest=describe_supports(document),
        in_force=any(row["in_force"] for row in document["at"]),
        agreed=AGREED[document["statement"]["people_agreed"]],
        figures=[(name, *CAPTIONS[name], Markup(drawn[name])) for name in drawn],  # noqa: S704 - drawn by us, escaped there
        few_people=FEW_PEOPLE,
        use_words=USE_WORDS,
    )
