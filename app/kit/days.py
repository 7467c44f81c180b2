"""Days in requests, and periods of days in words."""

import re
from datetime import date
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

YEAR = 365.25
"""Days."""


def _check_day(text: object) -> object:
    """Refuse other texts that Pydantic accepts as a day, such as seconds since 1970."""
    if isinstance(text, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII) is None:
        raise PydanticCustomError("no_day", "Write a day as YYYY-MM-DD")
    return text


Day = Annotated[date, BeforeValidator(_check_day)]
"""A day in a query."""


def in_words(days: int) -> str:
    """Return the period in words; whole years, from two on, also in years."""
    years = round(days / YEAR)
    text = "1 day" if days == 1 else f"{days} days"
    return f"{text} ({years} years)" if years > 1 and abs(days - years * YEAR) <= 1 else text
