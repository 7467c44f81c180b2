"""Every limit of the code is on the page of limits, with its value."""

import importlib
import re
from datetime import timedelta
from typing import Any

import pytest

from app.settings import PREFIX, Settings
from tests.architecture.source import ROOT, modules

PAGE = (ROOT / "docs" / "reference" / "limits.md").read_text("utf-8")
ROW = re.compile(
    r"^\|[^|]+\|[^|]+\| `(?P<value>[^`]+)`[^|]*\| `(?P<name>\w+)`(?: \(`(?P<path>app/[\w/]+\.py)`\))? \|",
    re.MULTILINE,
)
NO_BUDGETS = {
    "retention of data": {"superseded_template_days", "consent_days", "consent_max_days", "renewal_days"}
    | {"token_unused_days", "access_count_days", "rebuild_after_days"},
    "the transparency log": {"log_interval", "log_padding", "log_noise"},
    "the operator's own work": {"key_overlap_hours", "sweep_interval_s", "kek_rotate_hours"},
    "the decision": {"target_fmr"},
    "advice to the subject": {"enrol_photos", "identification_photos"},
}
"""Settings with a number that bounds no use, by what they are about."""
NOT_OF_STRANGERS = {
    ("app/kit/addresses.py", "MAX_PORT"): "a fact of TCP",
    ("app/callbacks/url_rules.py", "MAX_PORT"): "a fact of TCP",
    ("app/settings.py", "MAX_OVERLAP_HOURS"): "a bound of a setting",
    ("app/transparency/verify/merkle.py", "MAX_LEAVES"): "a fact of the format",
    ("app/faces/workers/pool.py", "MAX_PIXELS"): "the default of a parameter; the setting is on the page",
    ("app/faces/quality.py", "MAX_GLARE"): "a measure of quality",
    ("app/faces/quality.py", "MAX_YAW"): "a measure of quality",
    ("app/faces/quality.py", "MAX_FORESHORTENING"): "a measure of quality",
}


def value_of(name: str, path: str | None) -> Any:
    """Return the value of a setting's default, or of a constant in a file."""
    if path is None:
        return Settings.model_fields[name.removeprefix(PREFIX).lower()].default
    return getattr(importlib.import_module(path.removesuffix(".py").replace("/", ".")), name)


def in_numbers(value: Any) -> float:
    """Return a limit as a number: a duration in seconds."""
    return float(value.total_seconds() if isinstance(value, timedelta) else value)


ROWS = [(found["name"], found["path"], found["value"]) for found in ROW.finditer(PAGE)]


def test_every_row_of_the_page_is_read() -> None:
    tables = [line for line in PAGE.splitlines() if line.startswith("|") and not re.match(r"\| limit |\|---", line)]

    assert len(tables) == len(ROWS) > 50


@pytest.mark.parametrize(("name", "path", "written"), ROWS)
def test_the_page_has_the_value_of_the_code(name: str, path: str | None, written: str) -> None:
    assert in_numbers(value_of(name, path)) == float(written)


def test_every_setting_with_a_number_is_on_the_page() -> None:
    numbers = {
        name
        for name, field in Settings.model_fields.items()
        if re.search(r"\b(int|float)\b", str(field.annotation)) and "bool" not in str(field.annotation)
    }
    on_page = {name.removeprefix(PREFIX).lower() for name, path, _ in ROWS if path is None}
    others = set().union(*NO_BUDGETS.values())

    assert not numbers - on_page - others
    assert not on_page & others


def test_every_constant_that_is_a_maximum_is_on_the_page() -> None:
    constants = {
        (module.path, name)
        for module in modules()
        for name in re.findall(r"^(MAX_\w+)(?:: [^=\n]+)? = ", module.text, re.MULTILINE)
    }
    on_page = {(path, name) for name, path, _ in ROWS if path is not None}

    assert len(constants) > 20
    assert not constants - on_page - set(NOT_OF_STRANGERS)
