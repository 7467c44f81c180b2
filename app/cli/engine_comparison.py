"""`mien engines list`: the engines side by side, each as its card has it."""

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli.command import Json, refuse, refusing
from app.faces.cards.calibration import TargetGroup
from app.faces.cards.card import Card, shipped
from app.faces.cards.compare import FPIR, Compared, compare

app = typer.Typer()
GALLERY = 1000
REFERENCES_AT = "0.0001"
"""The false match rate at which several photos were tried on every card."""


@app.command("list")
def list_engines(
    *,
    target_fmr: Annotated[
        float | None, typer.Option("--target-fmr", metavar="RATE", help="At this rate; else at each one's own.")
    ] = None,
    target_group: Annotated[
        TargetGroup | None, typer.Option("--target-group", help="Kept on average, or in every labelled group.")
    ] = None,
    gallery: Annotated[int, typer.Option("--gallery", min=1, metavar="N", help="People in a gallery.")] = GALLERY,
    as_json: Json = False,
) -> None:
    """Print the engines side by side: thresholds, error rates, intervals, groups, and what a gallery makes of them.

    From the cards that ship with Mien; nothing is measured now. See docs/explanation/engines.md for what it means.
    """
    if target_fmr is not None and not 0 < target_fmr < 1:
        refuse("a false match rate is above 0 and below 1")
    found = compare(shipped(), target_fmr=target_fmr, target_group=target_group, gallery=gallery)
    if as_json:
        typer.echo(json.dumps({"engines": [one.as_document() for one in found], "gallery": gallery, "fpir": FPIR}))
        return
    _show(found, gallery)


@app.command("plot")
def plot(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the figures are put, as SVG.")],
) -> None:
    """Draw the figures of docs/explanation/engines.md from the cards that ship with Mien. Replaces existing files."""
    with refusing():
        directory.mkdir(parents=True, exist_ok=True)
        # The plotting library takes long to load, and no other command needs it.
        for name, figure in importlib.import_module("app.evaluation.card_plots").figures(shipped()).items():
            file = directory / f"{name}.svg"
            file.write_text(figure, "utf-8")
            typer.echo(file)


def _show(found: list[Compared], gallery: int) -> None:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="")
    table.add_column("")
    for one in found:
        table.add_column(one.card.id, overflow="fold")
    columns = [_column(one, gallery) for one in found]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console(highlight=False).print(table)


def _column(one: Compared, gallery: int) -> dict[str, str]:
    told = {
        "people in its training data agreed": "yes" if one.card.depicted_people_agreed else "no",
        "trial": one.card.calibration.trial["name"],
        **_rates(one),
        f"FNMR at FMR {REFERENCES_AT}, by photos enrolled": _by_photos(one.card),
    }
    name = f"gallery of {gallery}, FPIR {FPIR:g}"
    if one.gallery is None:
        lowest = one.card.calibration.lowest_fmr
        told[name] = f"asks for FMR {FPIR / gallery:.1g}; the trial supports {lowest:.2g} at best"
    else:
        told[name] = f"FMR {one.gallery.point.fmr:.1g}, misses {one.gallery.point.fnmr:.1%}"
    return told


def _rates(one: Compared) -> dict[str, str]:
    names = (
        *("target FMR", "threshold", "FMR", "FMR, 95 % of people", "FMR by group", "FNMR", "FNMR, 95 % of people"),
        *("FNMR by group", "FMR by group of the second trial"),
    )
    at = one.at
    if at is None:
        return {**dict.fromkeys(names, "-"), "target FMR": str(one.unsupported)}
    near, second = f"at {at.interval.threshold:g}: ", at.by_origin
    values = (
        f"{at.target_fmr:g}, {'in every labelled group' if at.target_group == TargetGroup.WORST else 'on average'}",
        f"{at.threshold:g} ({one.card.metric})",
        f"{at.point.fmr:.2g}",
        near + _span(at.interval.fmr),
        _each(at.point.fmr_by_group),
        f"{at.point.fnmr:.2g}",
        near + _span(at.interval.fnmr),
        _each(at.point.fnmr_by_group),
        "no such trial" if second is None else f"at {second.threshold:g}: {_each(second.rates)}",
    )
    return dict(zip(names, values, strict=True))


def _by_photos(card: Card) -> str:
    """Return the misses with a mean of so many photos, and with the nearest of them in parentheses."""
    measured = card.document["calibration"].get("references", {"rows": []})["rows"]
    told = [
        f"{row['references']}: {row['fnmr_of_mean'][REFERENCES_AT]:.2g}"
        + (f" ({row['fnmr_of_nearest'][REFERENCES_AT]:.2g})" if row["references"] > 1 else "")
        for row in measured
        if REFERENCES_AT in row["fnmr_of_mean"]
    ]
    return ", ".join(told) or "not measured"


def _each(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{group} {rate:.2g}" for group, rate in rates.items()) or "no labels"


def _span(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2g} to {interval[1]:.2g}"
