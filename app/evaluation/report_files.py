"""The two files of a report: one for programs, one to read. Written beside their place, and then put there.

The one for programs comes last: where it is, the report is whole; the other alone is what a killed run left.
"""

import json
import os
from pathlib import Path
from typing import Any, Final

from app.evaluation.errors import EvaluationError
from app.evaluation.plotting import check_installed
from app.evaluation.report_page import page

JSON_FILE: Final = "evaluation.json"
HTML_FILE: Final = "evaluation.html"


def check(out: Path, *, force: bool) -> None:
    """Refuse to write over what is there, before anything is measured.

    Raises:
        EvaluationError: there is a report, or no directory, or the plotting library is missing.
    """
    check_installed()
    if out.exists() and not out.is_dir():
        raise EvaluationError(f"{out} is no directory")
    if (out / JSON_FILE).exists() and not force:
        raise EvaluationError(f"{out} has {JSON_FILE} already; name another with --out, or add --force")
    if out.exists() and not os.access(out, os.W_OK | os.X_OK):
        raise EvaluationError(f"nothing can be written to {out}; name another directory with --out")


def write(out: Path, told: dict[str, Any]) -> tuple[Path, Path]:
    """Write the report, and return where; what is there is replaced whole."""
    out.mkdir(parents=True, exist_ok=True)
    json_file, html_file = out / JSON_FILE, out / HTML_FILE
    _put(html_file, page(told))
    _put(json_file, json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return json_file, html_file


def _put(file: Path, text: str) -> None:
    beside = file.with_name(f"{file.name}.part")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
