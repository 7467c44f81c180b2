"""`mien engines` and `mien renew-templates`: compare engines, and renew templates after a change of engine."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from app.cli.command import Json, print_result, read_settings
from app.cli.errors import refuse
from app.cli.stores import open_stores
from app.evaluation.plotting import load_figures
from app.faces.cards.calibration import FnmrOverPeople, TargetGroup
from app.faces.cards.card import Card, shipped_cards
from app.faces.cards.compare import EngineComparison, compare_engines
from app.faces.cards.supports import FPIR
from app.kit.clock import utc_now
from app.kit.files import replace_file
from app.kit.progress import show_progress
from app.main import choose_threshold, create_engine
from app.templates import coverage, engine_history, renewal

app = typer.Typer()
engines_app = typer.Typer(no_args_is_help=True, help="Compare engines, and count the templates of each.")
GALLERY = 1000
REFERENCES_AT = "0.0001"
"""The false match rate at which every card was also measured with several photos for each person."""
RATES = (
    "target FMR",
    "threshold",
    "FMR",
    "FMR, 95 % of people",
    "FMR by group",
    "FNMR (over pairs)",
    "FNMR, 95 % of people",
    "FNMR by group",
    "FNMR over people",
    "FMR by group of the second trial",
)


@engines_app.command("coverage")
def show_coverage(*, as_json: Json = False) -> None:
    """Count the templates of each engine: those that Mien can renew, and those whose people have to enrol again.

    Prints counts only. Opens every template to find false labels.
    """
    with open_stores(read_settings()) as vault, show_progress() as progress:
        with vault.data.read() as session:
            engines = coverage.list_coverage(session, now=utc_now())
        mislabelled = coverage.count_mislabelled(vault, progress=progress)
    if as_json:
        fields = {"engines": [asdict(one) for one in engines], "mislabelled": mislabelled}
        typer.echo(json.dumps(fields, default=str))
        return
    for one in engines:
        typer.echo(_coverage_line(one))
    typer.echo(f"templates with a false label, never compared: {mislabelled}")


def _coverage_line(one: coverage.Coverage) -> str:
    name = f"{one.engine} ({one.weights_sha256[:8]})"
    if one.in_force:
        return f"{name}  in force since {one.in_force_from}: {one.templates} templates"
    if not one.templates:
        return f"{name}  superseded {one.in_force_until}: no templates"
    return (
        f"{name}  superseded {one.in_force_until}: {one.templates} templates, which end on {one.templates_end_on}; "
        f"{one.renewable} can be renewed from kept photos; for {one.enrol_again} the people have to enrol again"
    )


@app.command("renew-templates")
def renew_templates(*, as_json: Json = False) -> None:
    """Renew templates of superseded engines now, from the photos that people agreed to keep.

    The service also does this by itself while it measures nothing else. The engine in force must be MIEN_ENGINE.
    """
    settings = read_settings()
    with open_stores(settings) as vault, show_progress() as progress:
        pool, card = create_engine(settings)
        with vault.data.read() as session:
            engine_history.require_in_force(session, card)
        engine = choose_threshold(settings, (pool, card))
        pool.start()
        try:
            done = renewal.renew_templates(
                renewal.RenewalRun(vault=vault, engine=engine, clock=utc_now, report=progress)
            )
        finally:
            pool.close()
    print_result(asdict(done), as_json=as_json)


@engines_app.command("list")
def list_engines(
    *,
    target_fmr: Annotated[
        float | None, typer.Option("--target-fmr", metavar="RATE", help="The false match rate; default: each card's.")
    ] = None,
    target_group: Annotated[
        TargetGroup | None,
        typer.Option("--target-group", help="Keep the rate on average (all), or in every labelled group (worst)."),
    ] = None,
    gallery: Annotated[int, typer.Option("--gallery", min=1, metavar="N", help="People in a gallery.")] = GALLERY,
    as_json: Json = False,
) -> None:
    """Compare the shipped engines: thresholds, error rates, intervals, groups, and searching a gallery.

    The numbers come from the engines' cards; nothing is measured now. See docs/explanation/engines.md.
    """
    if target_fmr is not None and not 0 < target_fmr < 1:
        refuse("a false match rate is above 0 and below 1")
    engines = compare_engines(shipped_cards(), target_fmr=target_fmr, target_group=target_group, gallery=gallery)
    if as_json:
        typer.echo(json.dumps({"engines": [one.as_document() for one in engines], "gallery": gallery, "fpir": FPIR}))
        return
    table = Table(box=None, pad_edge=False, show_header=True, header_style="")
    table.add_column("")
    for one in engines:
        table.add_column(one.card.id, overflow="fold")
    columns = [_column(one, gallery) for one in engines]
    for name in columns[0]:
        table.add_row(name, *(column[name] for column in columns))
    Console(highlight=False).print(table)


@engines_app.command("plot")
def plot(directory: Annotated[Path, typer.Argument(metavar="DIR", help="Directory for the SVG files.")]) -> None:
    """Draw the figures of docs/explanation/engines.md from the shipped cards. Existing files are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, figure in load_figures("card_plots")(shipped_cards()).items():
        file = directory / f"{name}.svg"
        replace_file(file, figure.encode())
        typer.echo(file)


app.add_typer(engines_app, name="engines")


def _column(one: EngineComparison, gallery: int) -> dict[str, str]:
    column = {
        "people in its training data agreed": "yes" if one.card.depicted_people_agreed else "no",
        "trial": one.card.calibration.trial["name"],
        **_rates(one),
        f"FNMR at FMR {REFERENCES_AT}, by photos enrolled": _by_photos(one.card),
        f"largest gallery at FPIR {FPIR:g}, by photos enrolled": _largest_galleries(one.card),
    }
    name = f"gallery of {gallery}, FPIR {FPIR:g}"
    if one.gallery is None:
        lowest = one.card.calibration.lowest_fmr
        column[name] = f"needs FMR {FPIR / gallery:.1g}; the trial supports {lowest:.2g} at best"
    else:
        column[name] = f"FMR {one.gallery.point.fmr:.1g}, misses {one.gallery.point.fnmr:.1%}"
    return column


def _rates(one: EngineComparison) -> dict[str, str]:
    at = one.at
    if at is None:
        return {**dict.fromkeys(RATES, "-"), "target FMR": str(one.unsupported)}
    near, second = f"at {at.interval.threshold:g}: ", at.by_origin
    values = (
        f"{at.target_fmr:g}, {'in every labelled group' if at.target_group == TargetGroup.WORST else 'on average'}",
        f"{at.threshold:g} ({one.card.metric})",
        f"{at.point.fmr:.2g}",
        near + _interval(at.interval.fmr),
        _by_group(at.point.fmr_by_group),
        f"{at.point.fnmr:.2g}",
        near + _interval(at.interval.fnmr),
        _by_group(at.point.fnmr_by_group),
        _over_people(at.over_people),
        "no such trial" if second is None else f"at {second.threshold:g}: {_by_group(second.rates)}",
    )
    return dict(zip(RATES, values, strict=True))


def _over_people(found: FnmrOverPeople | None) -> str:
    if found is None:
        return "not measured"
    interval = f" ({_interval(found.ci95_by_person)})" if found.ci95_by_person else ""
    return f"at {found.threshold:g}: {found.fnmr:.2g}{interval}, {_by_group(found.fnmr_by_group)}"


def _largest_galleries(card: Card) -> str:
    """Return the largest gallery that the trial supports, by number of enrolled photos."""
    supports = card.calibration.supports
    if supports is None:
        return "none was tried"
    largest = {references: supports.largest_gallery(references).people for references in supports.references}
    return ", ".join(f"{references}: {people or 'none'}" for references, people in largest.items())


def _by_photos(card: Card) -> str:
    """Return the miss rate by number of enrolled photos: of their mean, and in parentheses of the nearest photo."""
    measured = card.document["calibration"].get("references", {"rows": []})["rows"]
    rates = [
        f"{row['references']}: {row['fnmr_of_mean'][REFERENCES_AT]:.2g}"
        + (f" ({row['fnmr_of_nearest'][REFERENCES_AT]:.2g})" if row["references"] > 1 else "")
        for row in measured
        if REFERENCES_AT in row["fnmr_of_mean"]
    ]
    return ", ".join(rates) or "not measured"


def _by_group(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{group} {rate:.2g}" for group, rate in rates.items()) or "no labels"


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:.2g} to {interval[1]:.2g}"
