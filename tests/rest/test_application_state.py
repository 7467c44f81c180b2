"""The state of the application, which requests read in one place."""

import re
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI, Request

from app.web.application_state import ApplicationState, state_of
from app.web.lanes import Lanes
from tests.architecture.source import ROOT
from tests.support.application_state import application_with

pytestmark = pytest.mark.unit


@dataclass(frozen=True, slots=True, kw_only=True)
class LargerState(ApplicationState):
    """A state that another room extends."""

    more: int


def request_of(app: FastAPI) -> Request:
    return Request({"type": "http", "app": app})


def test_a_state_of_another_class_is_refused() -> None:
    lanes = Lanes(engine_jobs=1)
    app = application_with(lanes=lanes)

    assert state_of(request_of(app), ApplicationState).lanes is lanes
    with pytest.raises(TypeError, match="LargerState"):
        state_of(request_of(app), LargerState)


def test_a_part_of_the_state_cannot_be_replaced() -> None:
    kept: Any = state_of(request_of(application_with()), ApplicationState)

    with pytest.raises(AttributeError):
        kept.clock = None


def test_only_one_file_reads_the_untyped_state_of_the_framework() -> None:
    files = [
        path.relative_to(ROOT) for path in (ROOT / "app").rglob("*.py") if re.search(r"app\.state\b", path.read_text())
    ]

    assert list(map(str, files)) == ["app/web/application_state.py"]
