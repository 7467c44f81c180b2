"""Figures of docs/explanation/engines.md, drawn from the shipped cards. Imported only when they are drawn."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from app.evaluation.svg import SETTINGS, draw_svg, format_ticks
from app.faces.cards.card import Card
from app.faces.cards.supports import FPIR

COLOURS: Final = ("#0b57d0", "#b3261e", "#146c2e", "#7b4397")
"""Lines differ by their dashes too."""
DASHES: Final = ("-", "--", "-.", ":")
GALLERIES: Final = np.geomspace(1, 1_000_000, 200)
RATES: Final = (1e-3, 1e-4, 1e-5)
AT: Final = "0.0001"
_SIZE: Final = (6.4, 4.2)
_SETTINGS: Final[dict[Any, Any]] = {**SETTINGS, "grid.alpha": 0.25}


def figures(cards: Sequence[Card]) -> dict[str, str]:
    """Return the text of each SVG file by name. The same cards give the same bytes."""
    drawn: dict[str, tuple[str, Callable[[Axes, Sequence[Card]], None]]] = {
        "det": ("False non-match rate of each engine against its false match rate", _det),
        "groups": ("False match rates by origin and sex in the second trial", _groups),
        "references": (f"Misses by number of enrolled photos, at a false match rate of {AT}", _references),
        "gallery": ("False positive identification rate against the people in a gallery", _gallery),
    }
    with mpl.rc_context(_SETTINGS):
        return {name: _svg(title, draw, cards) for name, (title, draw) in drawn.items()}


def _svg(title: str, draw: Callable[[Axes, Sequence[Card]], None], cards: Sequence[Card]) -> str:
    metadata = {"Title": title, "Date": None, "Creator": None}
    return draw_svg(lambda axes: draw(axes, cards), size=_SIZE, metadata=metadata)


def _det(axes: Axes, cards: Sequence[Card]) -> None:
    for card, colour, dash in zip(cards, COLOURS, DASHES, strict=False):
        calibration = card.calibration
        lowest = min(one.threshold for one in calibration.intervals)
        seen = [point for point in calibration.points if point.threshold >= lowest]
        axes.plot(
            [one.fmr for one in seen], [one.fnmr for one in seen], color=colour, linestyle=dash, lw=2, label=card.id
        )
        for one in calibration.intervals:
            row = min(calibration.points, key=lambda point, at=one.threshold: abs(point.threshold - at))  # type: ignore[misc]
            axes.plot([row.fmr] * 2, one.fnmr, color=colour, lw=1.2)
            axes.plot(one.fmr, [row.fnmr] * 2, color=colour, lw=1.2)
    axes.set(xscale="log", yscale="log", xlabel="false match rate", ylabel="false non-match rate, over pairs")
    format_ticks("{:g}".format, axes.xaxis, axes.yaxis)
    axes.legend(title="crosses: 95 % intervals over people", loc="upper right")


def _groups(axes: Axes, cards: Sequence[Card]) -> None:
    trials = [(card, card.calibration.by_origin_near(_own_threshold(card))) for card in cards]
    shown = [(card, found) for card, found in trials if found is not None]
    names = sorted(shown[0][1].rates, key=lambda group: -shown[0][1].rates[group])
    high = 0.8 / len(shown)
    for place, (card, found) in enumerate(shown):
        ys = [row - 0.4 + high * (place + 0.5) for row in range(len(names))]
        label = f"{card.id}, at {found.threshold:g}"
        axes.barh(ys, [found.rates[group] for group in names], height=high * 0.9, color=COLOURS[place], label=label)
        axes.axvline(card.default_target_fmr, color=COLOURS[place], linestyle=DASHES[place], lw=1.2)
    axes.set(xscale="log", xlabel="false match rate between different people of one group", yticks=range(len(names)))
    axes.set_yticklabels(names)
    format_ticks("{:g}".format, axes.xaxis)
    axes.invert_yaxis()
    axes.legend(title="lines: each one's target", loc="lower right")


def _own_threshold(card: Card) -> float:
    points = [point for point in card.calibration.points if point.fmr <= card.default_target_fmr]
    return points[-1].threshold


def _references(axes: Axes, cards: Sequence[Card]) -> None:
    for card, colour in zip(cards, COLOURS, strict=False):
        rows = card.document["calibration"].get("references", {"rows": []})["rows"]
        counts = [row["references"] for row in rows]
        for way, dash in (("mean", "-"), ("nearest", ":")):
            rates = [row[f"fnmr_of_{way}"][AT] for row in rows]
            axes.plot(counts, rates, color=colour, linestyle=dash, marker="o", label=f"{card.id}, {way}")
    axes.set(
        yscale="log",
        xlabel="enrolled photos",
        ylabel=f"false non-match rate at FMR {AT}, over pairs",
        xticks=[1, 2, 3, 5],
    )
    format_ticks("{:g}".format, axes.yaxis)
    axes.legend()


def _gallery(axes: Axes, _cards: Sequence[Card]) -> None:
    for rate, colour, dash in zip(RATES, COLOURS, DASHES, strict=False):
        axes.plot(GALLERIES, 1 - (1 - rate) ** GALLERIES, color=colour, linestyle=dash, lw=2, label=f"FMR {rate:g}")
    axes.axhline(FPIR, color="black", lw=1)
    axes.annotate(f"FPIR {FPIR:g}", (1, FPIR), xytext=(2, 4), textcoords="offset points")
    axes.set(xscale="log", yscale="log", xlabel="people in the gallery", ylabel="strangers taken for one (FPIR)")
    axes.set_ylim(1e-5, 1.5)
    format_ticks("{:g}".format, axes.xaxis, axes.yaxis)
    axes.legend(title="1 - (1 - FMR)^N")
