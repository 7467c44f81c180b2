"""The data that the service shows a subject, compared with the model."""

import io
import json
import zipfile
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from tests.machine.cells import Cell
from tests.machine.model import Event, Grant, Model, Person
from tests.machine.receipts import receipt_of

ACCESS_COUNTS = timedelta(days=400)
"""The default of `MIEN_ACCESS_COUNT_DAYS`."""
Rows = list[dict[str, Any]]
SHOWN = {
    "subjects",
    "tokens",
    "grants",
    "consent_events",
    "receipts",
    "templates",
    "photos",
    "comparisons",
    "attempts",
    "entries",
    "access_counts",
}
FILES = {"templates": "json", "photos": "jpg", "receipts": "json"}
"""Tables whose rows are files in an export, with the ending of the names."""


class DifferenceError(AssertionError):
    """The service shows a state that differs from the model."""


def same(label: str, seen: object, expected: object) -> None:
    """Compare two values."""
    if seen != expected:
        msg = f"{label}: {seen!r} instead of {expected!r}"
        raise DifferenceError(msg)


def takes(label: str, cell: Cell, seen: object) -> None:
    """Put a seen value into a cell."""
    if not cell.takes(seen):
        msg = f"{label}: {seen!r} instead of {cell!r}"
        raise DifferenceError(msg)


def instant(text: str | None) -> datetime | None:
    """Read a time."""
    return None if text is None else datetime.fromisoformat(text)


def each(label: str, cells: Sequence[Cell], seen: Iterable[str]) -> None:
    """Compare a set of ids with cells: known ids must be in it, and unknown cells take the remaining ids."""
    left = set(seen)
    same(f"number of {label}", len(left), len(cells))
    known = {cell.value for cell in cells if cell.value is not None}
    same(label, left & known, known)
    for cell, one in zip((cell for cell in cells if cell.value is None), sorted(left - known), strict=True):
        takes(label, cell, one)


def held(person: Person, model: Model, document: dict[str, Any]) -> None:
    """Compare the whole access document with the model.

    Raises:
        DifferenceError: it differs.
    """
    data: dict[str, Rows] = document["data"]
    same("other tables with rows", {name for name, rows in data.items() if rows} - SHOWN, set())
    (subject,) = data["subjects"]
    same("name", subject["name"], person.name)
    same("restricted", subject["spell_id"] is None, person.matching_period is None)
    same("registered", subject["registered_on"], person.registered.isoformat())
    for kind in ("access", "recovery"):
        ids = [one["id"] for one in data["tokens"] if one["kind"] == kind]
        each(f"{kind} tokens", [one.id for one in person.tokens if one.kind == kind], ids)
    _events(person, [row["content"] for row in sorted(data["consent_events"], key=lambda row: row["position"])])
    same("positions of events", [row["position"] for row in data["consent_events"]], _count(person.events))
    _grants(person, model, data, document["purposes"])
    _comparisons(person, data["comparisons"])
    _receipts(person, data)
    _entries(person, data)
    accesses = {row["on_day"]: row["times"] for row in data["access_counts"]}
    same("accesses", accesses, _days(person, kept=accesses, since=model.now - ACCESS_COUNTS))
    _only_theirs(person, data)


def _count(things: Sequence[object]) -> list[int]:
    return list(range(1, len(things) + 1))


def _days(person: Person, *, kept: Container[str], since: datetime) -> dict[str, int]:
    """Return the accesses of each day, without older days that a maintenance run has deleted."""
    days = {day.isoformat(): times for day, times in person.accesses.items()}
    return {day: times for day, times in days.items() if day in kept or day > since.date().isoformat()}


def _only_theirs(person: Person, data: dict[str, Rows]) -> None:
    owners = {row.get("subject_id", person.id) for rows in data.values() for row in rows}
    same("owners of rows", owners, {person.id})


def _events(person: Person, seen: Rows) -> None:
    same("number of events", len(seen), len(person.events))
    place = 0
    while place < len(seen):
        batch = [one for one in person.events[place:] if one.batch == person.events[place].batch]
        shown = seen[place : place + len(batch)]
        place += len(batch)
        if len(batch) > 1:
            order: Callable[[Event], tuple[str | None, str]] = lambda one: (one.consent.value, one.state)  # noqa: E731
            batch = sorted(batch, key=order)
            shown = sorted(shown, key=lambda one: (one["consent_id"], one["state"]))
        for event, one in zip(batch, shown, strict=True):
            _event(event, one)


def _event(event: Event, seen: dict[str, Any]) -> None:
    takes("consent of an event", event.consent, seen["consent_id"])
    same("state of an event", seen["state"], event.state)
    takes("time of an event", event.at, instant(seen["event_time"]))
    same("purpose of an event", seen["purpose"], event.purpose)
    same("party of an event", seen["relying_party_id"] or None, event.party)
    same("notice of an event", seen["notice_sha256"], event.notice)
    same("end of an event", instant(seen["valid_until"]), event.ends)


def _grants(person: Person, model: Model, data: dict[str, Rows], purposes: Rows) -> None:
    seen = {(row["purpose"], row["relying_party_id"]): row for row in data["grants"]}
    true = {(one.purpose, one.party): one for one in person.grants}
    same("consents", set(seen), set(true))
    templates = {row["grant_id"]: row for row in data["templates"]}
    for which, grant in true.items():
        row = seen[which]
        takes("consent", grant.id, row["id"])
        takes("reference", grant.ref, str(row["subject_ref"]))
        same("notice", row["notice_sha256"], grant.notice)
        same("end", instant(row["valid_until"] + ("" if "+" in row["valid_until"] else "+00:00")), grant.ends)
        _template(grant, templates.pop(grant.id.value or "", None))
    same("other templates", templates, {})
    _albums(person, data["photos"])
    in_force = {one.id.value for one in person.grants if one.ends > model.now}
    same("in force", {one["consent_id"] for one in purposes}, in_force)


def _template(grant: Grant, row: dict[str, Any] | None) -> None:
    same("template there", row is not None, grant.template is not None)
    if row is not None and grant.template is not None:
        takes("template", grant.template.id, row["id"])
        takes("enrolment", grant.template.enrolment, row["enrolment_id"])
        same("day of a template", row["enrolled_on"], grant.template.day.isoformat())


def _albums(person: Person, rows: Rows) -> None:
    albums = [album for grant in person.grants for album in grant.albums]
    enrolments = {row["enrolment_id"] for row in rows}
    each("enrolments with photos", [album.enrolment for album in albums], enrolments)
    for album in albums:
        each("photos", album.ids, [row["id"] for row in rows if row["enrolment_id"] == album.enrolment.value])


def _comparisons(person: Person, rows: Rows) -> None:
    rows = sorted(rows, key=lambda row: row["position"])
    same("positions of comparisons", [row["position"] for row in rows], _count(person.comparisons))
    for line, row in zip(person.comparisons, rows, strict=True):
        takes("comparison", line.id, row["id"])
        content = row["content"]
        shown = (content["relying_party_id"], content["decision"], instant(content["at"]))
        same("comparison", shown, (line.party, line.decision, line.at))


def _receipts(person: Person, data: dict[str, Rows]) -> None:
    """Check that each event has a receipt; the list of receipts shows the kinds."""
    rows = sorted(data["receipts"], key=lambda row: row["position"])
    same("positions of receipts", [row["position"] for row in rows], list(range(1, person.receipts().total() + 1)))
    same("events without a receipt", _ids(data["consent_events"]) - _ids(rows), set())


def _entries(person: Person, data: dict[str, Rows]) -> None:
    rows = sorted(data["entries"], key=lambda row: row["position"])
    same("positions of entries", [row["position"] for row in rows], _count(rows))
    records = {row["id"]: row["content"]["record"] for row in rows}
    same("entries", Counter(_label(one) for one in records.values()), +person.entries())
    for row in data["comparisons"]:
        same("the comparison of an entry", records[row["id"]]["comparison_id"], row["id"])
    for row in data["templates"]:
        same("the enrolment of an entry", records[row["entry_id"]]["enrolment_id"], row["enrolment_id"])


def _label(record: dict[str, Any]) -> str:
    return f"refusal: {record['slug']}" if record["act"] == "refusal" else str(record["act"])


def _ids(rows: Rows) -> set[str]:
    return {row["id"] for row in rows}


def exported(document: dict[str, Any], archive: bytes) -> None:
    """Compare an export with the access document: it opens, has the same data, and has every file."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        same("a broken file", files.testzip(), None)
        told = json.loads(files.read("mien.json"))
        for table in SHOWN - {"access_counts"}:
            same(f"export of {table}", told["data"][table], document["data"][table])
        names = {one for one in files.namelist() if one.partition("/")[0] in FILES}
        due = {f"{table}/{UUID(row['id'])}.{end}" for table, end in FILES.items() for row in document["data"][table]}
        same("files of an export", names, due)
        same("files that cannot be read", [name for name in names if not _good(name, files.read(name))], [])


def _good(name: str, content: bytes) -> bool:
    if name.startswith("photos/"):
        return content[:2] == b"\xff\xd8"
    found = json.loads(content)
    return len(found["vector"]) == 128 if name.startswith("templates/") else receipt_of({"receipt": found}) is not None
