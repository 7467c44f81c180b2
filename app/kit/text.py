"""The characters allowed in a name: every readable one, in every script."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

UNREADABLE = {"Cc", "Cs", "Zl", "Zp"}
"""Unicode categories that act instead of showing: control characters, surrogates, line and paragraph separators."""
TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Directions that turn what follows round, and can make one name look like another (UAX 9, 2). The marks that Arabic
and Hebrew names are written with are not among them; nor are joiners, which Indic scripts, Persian and emoji need."""
REASON = "Leave out control characters, line breaks and characters that turn the direction of writing"


def readable(text: str) -> bool:
    """Return whether *text* is free of characters that a screen, a terminal or a log would obey, not show."""
    return not any(unicodedata.category(one) in UNREADABLE or unicodedata.bidirectional(one) in TURNING for one in text)


def _readable(text: str) -> str:
    if not readable(text):
        raise PydanticCustomError("unreadable", REASON)
    return text


ReadableText = Annotated[str, AfterValidator(_readable)]
"""Text that other people may have to read."""
