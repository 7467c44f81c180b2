"""Writes the two files of a report, JSON for programs and HTML for people, each atomically.

The JSON file comes last: if it exists, the report is complete. A killed run leaves the HTML file alone.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

from app.evaluation.errors import EvaluationError
from app.evaluation.plotting import check_installed
from app.evaluation.report_page import render_page
from app.kit.files import replace_file

JSON_FILE: Final = "evaluation.json"
HTML_FILE: Final = "evaluation.html"


def check_output(out: Path, *, force: bool) -> None:
    """Check that the report can be written, before images are measured.

    Raises:
        EvaluationError: a report exists, *out* is not a writable directory, or the plotting library is missing.
    """
    check_installed()
    if out.exists() and not out.is_dir():
        raise EvaluationError(f"{out} is not a directory")
    if (out / JSON_FILE).exists() and not force:
        raise EvaluationError(f"{out} has {JSON_FILE} already; name another with --out, or add --force")
    if out.exists() and not os.access(out, os.W_OK | os.X_OK):
        raise EvaluationError(f"nothing can be written to {out}; name another directory with --out")


def write_report(out: Path, document: dict[str, Any]) -> tuple[Path, Path]:
    """Write the report, replacing an earlier one, and return the two paths."""
    out.mkdir(parents=True, exist_ok=True)
    json_file, html_file = out / JSON_FILE, out / HTML_FILE
    replace_file(html_file, render_page(document).encode())
    replace_file(json_file, (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    return json_file, html_file
