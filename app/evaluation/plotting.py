"""Loads the modules that draw with Matplotlib, an optional library (the extra ``evaluate``)."""

import importlib
import importlib.util
from collections.abc import Callable

from app.evaluation.errors import EvaluationError


def check_installed() -> None:
    """Check for the plotting library before images are measured for an hour.

    Raises:
        EvaluationError: the library is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise EvaluationError("the plots need Matplotlib: install Mien with its extra `evaluate`")


def load_figures(module: str) -> Callable[..., dict[str, str]]:
    """Import `app.evaluation.<module>` and return its function `figures`, which returns SVG texts by name.

    It is imported here and not earlier because Matplotlib takes a second to load and only two commands use it.

    Raises:
        EvaluationError: the library is not installed.
    """
    check_installed()
    figures: Callable[..., dict[str, str]] = importlib.import_module(f"app.evaluation.{module}").figures
    return figures
