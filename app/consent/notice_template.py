"""Fill a notice's placeholders with the facts in force, and refuse a text that is not ready to be read.

A placeholder is `$name`; `$$` is a dollar sign. The names are those of the facts, and `$version`.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template
from typing import Any

from pydantic import JsonValue

from app.consent.facts import Facts
from app.faces.permit import Purpose
from app.kit.errors import OperatorError
from app.kit.text import REASON, is_blank, readable
from app.transparency.receipts.content import processing_content

FENCE = "+++\n"
MAX_LANGUAGE_CHARS = 16
"""The longest tag of a language that the database stores."""
MAX_VERSION = 999_999_999
"""The largest version of a notice; the database stores no number above 2,147,483,647."""
MAX_FRONT_MATTER_CHARS = 40_000
"""Length as receipts repeat it; `receipts/verify` reads tokens of three times that."""
VERSION = "version"
FIELDS = (
    "schema_version",
    "purpose",
    "version",
    "language",
    "title",
    "pii_controllers",
    "lawful_basis",
    "pii_information",
    "processing_method",
    "storage_locations",
    "retention_period",
    "recipient_third_parties",
    "withdrawal_method",
    "privacy_rights",
    "authority_party",
    "jurisdictions",
)
"""Required fields, named as in ISO/IEC TS 27560; `version` and `title` are our own."""
_VERSION_LINE = re.compile(r"(?m)^version\s*=.*$")
_UNFILLED = re.compile(
    r"\{\{.*?\}\}|<<.*?>>|\[YOUR\b[^\]]*\]|%[a-z_]{3,}%|__[a-z]{3,}__|\bTODO\b|\bXXX\b|\blorem ipsum\b", re.IGNORECASE
)
"""Gaps that other tools and people leave in a text."""
_DEMONSTRATION = re.compile(r"\bdemos?\b|prototyp\w*|d[eé]mon?stra[ct]i\w*|\bexample\.invalid\b", re.IGNORECASE)
"""Words of a demonstration, in several languages."""


class NoticeError(OperatorError, ValueError):
    """The file cannot be published as a notice; the text states the reason."""


@dataclass(frozen=True, slots=True)
class NoticeHeader:
    """The identifying fields of a notice."""

    sha256: str
    purpose: Purpose
    language: str
    version: int


@dataclass(frozen=True, slots=True)
class FilledNotice:
    """A notice as people read it. Only `fill` makes one, and only such a notice can be published."""

    header: NoticeHeader
    body: bytes
    template: bytes
    """The text with its placeholders."""
    facts: Mapping[str, JsonValue]
    """The facts that it depends on."""


def front_matter(body: bytes) -> dict[str, Any]:
    """Return the front matter of a published notice."""
    return _read(body)[0]


def parse(body: bytes) -> NoticeHeader:
    """Read and check a notice without placeholders.

    Raises:
        NoticeError: it is not UTF-8 with front matter between two `+++` lines, or a field is missing or malformed.
    """
    fields, text = _read(body)
    missing = [name for name in FIELDS if name not in fields or _is_blank_text(fields[name])]
    if missing or is_blank(text):
        raise NoticeError(f"the notice lacks {', '.join(missing) or 'its text'}")
    if not readable(str(fields["title"])):
        raise NoticeError(f"the title cannot be shown to people as it is. {REASON}")
    purpose, language, version = fields["purpose"], fields["language"], fields["version"]
    if purpose not in list(Purpose) or type(version) is not int or version > MAX_VERSION:
        raise NoticeError(f"purpose is one of {', '.join(Purpose)}; version is a whole number up to {MAX_VERSION}")
    if not (isinstance(language, str) and 0 < len(language) <= MAX_LANGUAGE_CHARS):
        raise NoticeError("language is a tag like en or pt-BR")
    return NoticeHeader(hashlib.sha256(body).hexdigest(), Purpose(purpose), language, version)


def _is_blank_text(value: object) -> bool:
    return isinstance(value, str) and is_blank(value)


def read_scope(template: bytes) -> tuple[Purpose, str]:
    """Return the purpose and the language of a notice whose placeholders are not filled."""
    front, _ = _split(template)
    found = [re.search(rf'(?m)^{name}\s*=\s*["\']([^"\']*)["\']', front) for name in ("purpose", "language")]
    purpose, language = (match[1] if match else "" for match in found)
    if purpose not in list(Purpose) or not language:
        raise NoticeError(f"the notice lacks its language, or its purpose, which is one of {', '.join(Purpose)}")
    return Purpose(purpose), language


def fill(template: bytes, facts: Facts, *, version: int) -> FilledNotice:
    """Return the notice with the facts in force.

    Args:
        template: the text of the file.
        facts: the facts in force.
        version: replaces `$version`.

    Raises:
        NoticeError: the file is malformed, a placeholder has no fact, or a text of a demonstration would go live.
    """
    front, text = _split(template)
    used = _find_placeholders(front + text) - {VERSION}
    _refuse_missing(facts, used)
    for name in re.findall(r"\$\$\{?(\w+)", front + text):
        if name in facts.by_name:
            raise NoticeError(f"people would read ${name} instead of the fact: write one dollar sign before {name}")
    words = {name: facts.by_name[name].words for name in used} | {VERSION: str(version)}
    # A name with a quotation mark must not end the TOML string that it stands in.
    in_toml = {name: json.dumps(value, ensure_ascii=False)[1:-1] for name, value in words.items()}
    filled = FENCE + Template(front).substitute(in_toml) + FENCE + Template(text).substitute(words)
    body = filled.encode()
    header = parse(body)
    for flaw in _flaws(filled, front_matter(body), facts):
        raise NoticeError(flaw)
    _check_receipt(header, body)
    return FilledNotice(header, body, template, facts.record(used))


def with_version(template: bytes, version: int) -> bytes:
    """Return *template* with another version number; `$version` stays."""
    front, text = _split(template)
    if "version = $version" not in front:
        front = _VERSION_LINE.sub(f"version = {version}", front, count=1)
    return (FENCE + front + FENCE + text).encode()


def _split(body: bytes) -> tuple[str, str]:
    """Return the front matter and the text."""
    try:
        parts = body.decode().split(FENCE, 2)
        if parts[0] or len(parts) < 3:  # noqa: PLR2004 - nothing, the front matter, the text
            reason = f"the file begins with {parts[0][:40]!r}" if parts[0] else "a line of +++ is missing"
            raise ValueError(reason)  # noqa: TRY301 - one message for each cause
        _, front, text = parts
    except ValueError as error:
        raise NoticeError(f"a notice starts with TOML between two lines of +++, then the text ({error})") from error
    return front, text


def _read(body: bytes) -> tuple[dict[str, Any], str]:
    front, text = _split(body)
    try:
        return tomllib.loads(front), text
    except ValueError as error:
        raise NoticeError(f"a notice starts with TOML between two lines of +++, then the text ({error})") from error


def _find_placeholders(text: str) -> set[str]:
    for match in Template.pattern.finditer(text):
        if match["invalid"] is not None:
            line = text.count("\n", 0, match.start()) + 2
            raise NoticeError(f"line {line} has a $ that names no placeholder; write $$ for a dollar sign")
    return set(Template(text).get_identifiers())


def _refuse_missing(facts: Facts, used: set[str]) -> None:
    if unknown := sorted(used - set(facts.by_name)):
        known = ", ".join(f"${name}" for name in (VERSION, *facts.by_name))
        raise NoticeError(f"there is no placeholder {', '.join(f'${name}' for name in unknown)}; there are {known}")
    unset = [facts.by_name[name].words for name in used if facts.by_name[name].value is None]
    if unset:
        settings = sorted({setting for words in unset for setting in words.split(", ")})
        raise NoticeError(f"the notice needs settings that are missing: {', '.join(settings)}")


def _flaws(filled: str, front: Mapping[str, Any], facts: Facts) -> Iterator[str]:
    """Yield the reasons why this text must not be put before people."""
    if gap := _UNFILLED.search(filled):
        yield f"the notice still has a gap to fill: {gap[0]}"
    for engine in facts.other_engines:
        if re.search(rf"(?<![\w-]){re.escape(engine)}(?![\w-])", filled):
            yield f"the notice names the engine {engine}, which is not in force; write $engine"
    if facts.live:
        # The text may be wrapped, or marked as bold, in the middle of a phrase.
        if word := _DEMONSTRATION.search(filled):
            yield f"the notice speaks of a demonstration ({word[0]}); in live it must describe the real service"
        name = facts.by_name["controller_name"]
        if name.value is None or name.words not in controllers(front):
            yield f"pii_controllers must name the controller, $controller_name: {name.words}"


def controllers(front: Mapping[str, Any]) -> list[str]:
    """Return the names of the controllers in a notice's front matter."""
    listed = front["pii_controllers"]
    parties = listed if isinstance(listed, list) else [listed]
    return [str(party.get("party_name", "")) for party in parties if isinstance(party, dict)]


def _check_receipt(header: NoticeHeader, body: bytes) -> None:
    """Refuse a notice that receipts cannot repeat: every decision on it would fail."""
    try:
        repeated = processing_content(front_matter(body), sha256=header.sha256, relying_party=None)
    except (KeyError, ValueError) as error:
        reason = f"front matter holds only texts, tables of texts and lists of these ({type(error).__name__})"
        raise NoticeError(reason) from error
    if len(repeated.model_dump_json()) > MAX_FRONT_MATTER_CHARS:
        raise NoticeError(f"shorten the front matter to {MAX_FRONT_MATTER_CHARS} characters: every receipt repeats it")
