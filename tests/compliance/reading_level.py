"""Measure how hard a notice is to read: the Flesch-Kincaid grade, in years of school (Kincaid et al., 1975)."""

import re

from app.consent.notice_template import FENCE

_CODE = re.compile(r"`[^`]*`")
_WORD = re.compile(r"[A-Za-z]+(?:['-][A-Za-z]+)*|\d[\d.,]*")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def text_of(notice: str) -> list[str]:
    """Return the paragraphs and list items of a notice, without front matter, headings and tables."""
    blocks: list[str] = []
    for paragraph in notice.split(FENCE, 2)[2].split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith(("#", "|"))]
        for line in lines:
            if line.startswith("- ") or line is lines[0]:
                blocks.append(line.removeprefix("- "))
            else:
                blocks[-1] += f" {line.strip()}"
    # An address such as `GET /v1/me` is read as one word.
    return [_CODE.sub("it", block).replace("*", "") for block in blocks]


def sentences(notice: str) -> list[list[str]]:
    """Return the words of each sentence."""
    parts = [part for block in text_of(notice) for part in _SENTENCE_END.split(block)]
    return [words for words in map(_WORD.findall, parts) if words]


def syllables(word: str) -> int:
    """Estimate the syllables of an English word: groups of vowels, less the silent endings."""
    word = word.lower()
    if not word[0].isalpha():
        return 1
    count = len(re.findall(r"[aeiouy]+", word))
    if re.search(r"[^aeiouyl]e$|[^aeiouyl]es$|[^aeiouytd]ed$", word) and not re.search(
        r"(?:[sxz]|[cs]h|[cg])es$", word
    ):
        count -= 1
    return max(count, 1)


def grade(notice: str) -> float:
    """Return the Flesch-Kincaid grade of a notice's text."""
    found = sentences(notice)
    words = [word for sentence in found for word in sentence]
    return 0.39 * len(words) / len(found) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59
