"""A day in a request, and a time of days in words."""

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

YEAR = 365.25
"""Days."""


def _plain(text: object) -> object:
    """Refuse what Pydantic takes for a day too, such as seconds since 1970."""
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
        raise PydanticCustomError("no_day", "Write a day as YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_plain)]
"""A day in a query."""


def in_words(days: int) -> str:
    """Say how long that is; from two years on, where it is so to the day, in years too."""
    years = round(days / YEAR)
    said = "1 day" if days == 1 else f"{days} days"
    return f"{said} ({years} years)" if years > 1 and abs(days - years * YEAR) <= 1 else said
