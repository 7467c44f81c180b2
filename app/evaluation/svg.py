"""Style and output of all figures. Imported only when they are drawn (`plotting.load_figures`)."""

import io
import re
from collections.abc import Callable
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mien",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
"""Matplotlib's settings: text stays text, and the same figure gives the same bytes."""


_TICKS: Final = 8
"""The most labels of a logarithmic axis; more of them overlap."""


def draw_svg(draw: Callable[[Axes], None], *, size: tuple[float, float], **options: Any) -> str:  # noqa: ANN401 - Matplotlib's own
    """Draw one figure, and return it as SVG."""
    figure = Figure(figsize=size)
    FigureCanvasSVG(figure)
    draw(figure.add_subplot())
    out = io.StringIO()
    figure.savefig(out, format="svg", **options)
    # Matplotlib derives some ids from memory addresses: the same figure would give other bytes in each process.
    numbers: dict[str, str] = {}
    return re.sub(
        r"\b[a-z][0-9a-f]{10}\b",
        lambda found: numbers.setdefault(found[0], f"part{len(numbers)}"),
        out.getvalue(),
    )


def format_ticks(text: Callable[[float], str], *axes: Axis) -> None:
    """Label the ticks of logarithmic axes by *text*; powers of ten would need mathematical typesetting."""
    for axis in axes:
        axis.set_major_locator(LogLocator(numticks=_TICKS))
        axis.set_major_formatter(FuncFormatter(lambda value, _place: text(value)))
        axis.set_minor_formatter(NullFormatter())
