"""Text that people wrote, pasted or saved: characters allowed in names, pasted codes, files of other programs."""

import codecs
import re
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
BLANK_REASON = "It has no visible character"
_INVISIBLE = UNREADABLE | {"Cf", "Zs"}
_MARKS = {"Mn", "Me"}
"""Marks are visible only with a character before them."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\U0001d159")
"""Letters and symbols that are drawn as nothing: Hangul fillers, the Braille blank, the null note head."""
_MINUS = "\N{MINUS SIGN}"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    # Before UTF-16, whose mark is the beginning of this one.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def readable(text: str) -> bool:
    """Return whether *text* has only characters that a screen, a terminal or a file shows, none that act on it."""
    return not any(
        unicodedata.category(char) in UNREADABLE or unicodedata.bidirectional(char) in BIDIRECTIONAL for char in text
    )


def _is_invisible(char: str) -> bool:
    return unicodedata.category(char) in _INVISIBLE or char in _FILLERS


def is_blank(text: str) -> bool:
    """Return whether a reader sees nothing of *text*."""
    return all(_is_invisible(char) or unicodedata.category(char) in _MARKS for char in text)


def visible(text: str) -> str:
    """Return *text* as a reader sees it: two names with the same result look the same."""
    words = "".join(" " if char.isspace() else char for char in unicodedata.normalize("NFKC", text))
    return "".join(char for char in " ".join(words.split()) if char == " " or not _is_invisible(char)).strip()


def clean_pasted_code(text: str) -> str:
    """Return a pasted code as it was issued: without spaces and invisible characters, with plain hyphens."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(
        "-" if unicodedata.category(char) == "Pd" or char == _MINUS else char
        for char in plain
        if not _is_invisible(char)
    )


def to_utf8(file: bytes) -> bytes:
    """Return a text file as UTF-8 without byte order mark, with plain line ends; other bytes unchanged.

    On Windows, editors and `>` write a byte order mark, UTF-16, or both.
    """
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if file.startswith(mark)), None)
    if encoding is None:
        # These files begin with an ASCII character, so a zero beside it shows UTF-16 without its mark.
        encoding = {b"\0": "utf-16-be"}.get(file[:1]) or {b"\0": "utf-16-le"}.get(file[1:2]) or "utf-8"
    try:
        return file.decode(encoding).replace("\r\n", "\n").encode()
    except UnicodeDecodeError:
        return file


def _readable(text: str) -> str:
    if not readable(text):
        raise PydanticCustomError("unreadable", REASON)
    if text and is_blank(text):
        raise PydanticCustomError("blank", BLANK_REASON)
    return text


ReadableText = Annotated[str, AfterValidator(_readable)]
"""Text that other people read."""


_MARKDOWN = re.compile(r"([\\`*\[\]<>|#])")


def escape_markdown(text: str) -> str:
    """Return *text* so that Markdown shows it as it is: a name must not become a heading or a link."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))
