"""Figures of the report as SVG inside the page: text stays text, and colours come from the page.

Imported only when a page is made (`plotting.load_figures`).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from app.evaluation.number_format import plain, tick
from app.evaluation.svg import SETTINGS, draw_svg, format_ticks

INK: Final = "#010203"
"""Placeholder for the page's text colour."""
SERIES: Final = ("#040501", "#040502", "#040503", "#040504", "#040505", "#040506")
"""Placeholders for the page's line colours."""
_DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
"""Lines differ without colour too."""
_SIZE: Final = (5.2, 3.6)
_SETTINGS: Final[dict[Any, Any]] = {
    **SETTINGS,
    "font.size": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


def figures(document: dict[str, Any]) -> dict[str, str]:
    """Return each figure that has numbers as an SVG element, by name."""
    drawn: dict[str, Callable[[Axes, dict[str, Any]], None]] = {"det": _det, "histograms": _histograms}
    if any(document["calibration"]["table"][-1]["fmr_by_group"].values()):
        drawn["groups"] = _groups
    if document["references"]:
        drawn["references"] = _references
    if document["identification"] and len(document["identification"]) > 1:
        drawn["identification"] = _identification
    with mpl.rc_context(_SETTINGS):
        return {name: _svg(name, draw, document) for name, draw in drawn.items()}


def _svg(name: str, draw: Callable[[Axes, dict[str, Any]], None], document: dict[str, Any]) -> str:
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    text = draw_svg(lambda axes: draw(axes, document), size=_SIZE, transparent=True, metadata=metadata)
    text = text[text.index("<svg") :]
    # Ids repeat between figures, and a page may hold each id once.
    text = re.sub(r'(\sid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    text = text.replace(INK, "var(--ink)")
    for place, colour in enumerate(SERIES):
        text = text.replace(colour, f"var(--series-{place})")
    return re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        r'<svg viewBox="\1" role="presentation" focusable="false">',
        text,
        count=1,
    )


def _det(axes: Axes, document: dict[str, Any]) -> None:
    curve = document["det"]
    least = min([rate for rate in curve["fnmr"] if rate > 0], default=1e-3)
    axes.plot(curve["fmr"], _positive(curve["fnmr"]), color=SERIES[0], linewidth=2)
    axes.set(xscale="log", yscale="log", xlabel="false match rate", ylabel="false non-match rate")
    axes.set_ylim(least / 2, 1.5)
    axes.set_xlim(min(_positive(curve["fmr"])) / 2, 1)
    format_ticks(tick, axes.xaxis, axes.yaxis)
    if not any(curve["fnmr"]):
        axes.text(0.5, 0.5, "no miss was seen", transform=axes.transAxes, horizontalalignment="center")
    for one in document["at"]:
        low, high = one["ci95_by_person"]["fnmr"] or (one["fnmr"], one["fnmr"])
        left, right = one["ci95_by_person"]["fmr"] or (one["fmr"], one["fmr"])
        if one["fnmr"]:
            axes.plot([one["fmr"]] * 2, [max(low, least / 2), high], color=SERIES[1], linewidth=1.5)
            axes.plot([max(left, one["fmr"] / 10), right], [one["fnmr"]] * 2, color=SERIES[1], linewidth=1.5)


def _histograms(axes: Axes, document: dict[str, Any]) -> None:
    found = document["histograms"]
    for place, kind in enumerate(("genuine", "impostor")):
        counts = found[kind]
        edges = [number * found["bin"] for number in range(len(counts) + 1)]
        shares = [count / max(sum(counts), 1) for count in counts]
        axes.stairs(shares, edges, color=SERIES[place], linestyle=_DASHES[place], linewidth=1.8, label=kind)
    axes.set(xlabel="distance", ylabel="share of pairs")
    axes.set_ylim(bottom=0)
    axes.legend()


def _groups(axes: Axes, document: dict[str, Any]) -> None:
    table = document["calibration"]["table"]
    last = table[-1]["fmr_by_group"]
    marker = "o" if len(table) == 1 else ""
    keys = sorted((key for key in last if last[key]), key=lambda key: -last[key])
    for place, key in enumerate(keys[: len(SERIES)]):
        rates = _positive([row["fmr_by_group"][key] for row in table])
        thresholds = [row["threshold"] for row in table]
        axes.plot(thresholds, rates, color=SERIES[place], linestyle=_DASHES[place], marker=marker, label=key)
    axes.set(yscale="log", xlabel="threshold", ylabel="false match rate")
    format_ticks(tick, axes.yaxis)
    axes.legend()


def _references(axes: Axes, document: dict[str, Any]) -> None:
    rows = document["references"]["rows"]
    threshold = rows[0]["mean"][len(rows[0]["mean"]) // 2]["threshold"]
    counts = [row["references"] for row in rows]
    for place, way in enumerate(("mean", "nearest")):
        rates = [next(at["fnmr"] for at in row[way] if at["threshold"] == threshold) for row in rows]
        axes.plot(counts, rates, color=SERIES[place], linestyle=_DASHES[place], marker="o", label=way)
    axes.set(xlabel=f"enrolled images, at threshold {threshold:g}", ylabel="false non-match rate", xticks=counts)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: plain(value)))
    axes.set_ylim(bottom=0)
    axes.legend()


def _identification(axes: Axes, document: dict[str, Any]) -> None:
    galleries = document["identification"]
    sizes = [one["gallery"] for one in galleries]
    for place in range(len(galleries[0]["at"])):
        at: Sequence[dict[str, Any]] = [one["at"][place] for one in galleries]
        colour, dash = SERIES[place % len(SERIES)], _DASHES[place % len(_DASHES)]
        rates = _positive([one["fpir"] for one in at])
        axes.plot(sizes, rates, color=colour, linestyle=dash, marker="o", label=f"threshold {at[0]['threshold']:g}")
    axes.set(xscale="log", xlabel="people in the gallery", ylabel="FPIR", xticks=sizes)
    axes.set_xticklabels([str(size) for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.legend()
    if any(at["fpir"] for one in galleries for at in one["at"]):
        axes.set_yscale("log")
        format_ticks(tick, axes.yaxis)
    else:
        # A logarithmic axis without a value cannot be drawn.
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no stranger was found", transform=axes.transAxes, horizontalalignment="center")


def _positive(rates: Sequence[float]) -> npt.NDArray[np.float64]:
    """Return *rates* with zeros as NaN: a logarithmic axis has no zero."""
    return np.array([rate or np.nan for rate in rates])
