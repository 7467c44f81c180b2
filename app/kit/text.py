"""The characters allowed in names: all readable ones, of every script."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

UNREADABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories without a visible character: controls, surrogates, line and paragraph separators."""
BIDIRECTIONAL = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Bidirectional controls that can make one name look like another (UAX 9, 2). Marks in Arabic and Hebrew names are
allowed, and so are joiners, which Indic scripts, Persian and emoji need."""
REASON = "Leave out control characters, line breaks and characters that turn the direction of writing"


def readable(text: str) -> bool:
    """Return whether *text* has only characters that a screen, a terminal or a file shows, none that act on it."""
    return not any(
        unicodedata.category(char) in UNREADABLE or unicodedata.bidirectional(char) in BIDIRECTIONAL for char in text
    )


def _readable(text: str) -> str:
    if not readable(text):
        raise PydanticCustomError("unreadable", REASON)
    return text


ReadableText = Annotated[str, AfterValidator(_readable)]
"""Text that other people read."""
