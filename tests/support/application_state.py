"""A state of the application with the parts that a test needs."""

from dataclasses import fields
from typing import Any

from fastapi import FastAPI

from app.web.application_state import ApplicationState, keep_state


def application_with(**parts: Any) -> FastAPI:
    """Return an application whose state has these *parts*; the others are of no use."""
    unused = {field.name: object() for field in fields(ApplicationState)}
    app = FastAPI()
    keep_state(app, ApplicationState(**{**unused, **parts}))
    return app
