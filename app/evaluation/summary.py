"""The main figures of a report in words. The page and the command print the same ones."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.evaluation.number_format import bounds, rate, seen, whole
from app.faces.cards.supports import FPIR, MIN_DIR, Supports


class ErrorRates(NamedTuple):
    """The error rates at one threshold, in words, each with its interval."""

    threshold: str
    fmr: tuple[str, str]
    fnmr: tuple[str, str]
    fmr_over_people: tuple[str, str] | None
    """None if there are no rates over people."""
    fnmr_over_people: tuple[str, str] | None


def describe_trial(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the tested images and the images that failed: lines of text by label."""
    acquisition, calibration = document["acquisition"], document["calibration"]
    people = whole(acquisition["people"])
    if acquisition["people_with_a_face"] != acquisition["people"]:
        people += f", {whole(acquisition['people_with_a_face'])} with a face measured"
    return {
        "Trial": [calibration["trial"]["name"]],
        "Date": [document["date"]],
        "People": [people],
        "Images": [f"{whole(acquisition['images'])}, {whole(acquisition['measured'])} measured"],
        "Genuine pairs (one person)": [whole(calibration["genuine_pairs"])],
        "Impostor pairs (two people)": [whole(calibration["impostor_pairs"])],
        "Failure to acquire (FTA)": _describe_failures(acquisition["failure_to_acquire"]),
        "Failure to enrol for quality (FTE)": _describe_failures(acquisition["failure_to_enrol"]),
        **{f"Left out: {reason}": [whole(count)] for reason, count in acquisition["left_out"].items()},
    }


def describe_rates(document: Mapping[str, Any]) -> list[ErrorRates]:
    """Return the error rates at each reported threshold."""
    pairs = {"fmr": document["calibration"]["impostor_pairs"], "fnmr": document["calibration"]["genuine_pairs"]}
    return [
        ErrorRates(
            describe_threshold(row),
            *(_describe(row, kind, seen(row[kind], count)) for kind, count in pairs.items()),
            *(
                row["over_people"] and _describe(row["over_people"], kind, _of_people(row, kind, count))
                for kind, count in pairs.items()
            ),
        )
        for row in document["at"]
    ]


def _describe(row: Mapping[str, Any], kind: str, text: str) -> tuple[str, str]:
    return text, bounds(row["ci95_by_person"][kind]) if row[kind] else ""


def _of_people(row: Mapping[str, Any], kind: str, pairs: int) -> str:
    """Return a rate over people; of fewer than three wrong comparisons none is stated."""
    words = seen(row[kind], pairs)
    return rate(row["over_people"][kind]) if words == rate(row[kind]) else words


class GalleryTable(NamedTuple):
    """The share of members who are found, by gallery and number of references, at one target."""

    fpir: str
    references: list[int]
    rows: list[tuple[str, list[tuple[str, str]]]]
    """The gallery in words, and for each number of references the rate and its interval."""


def describe_galleries(document: Mapping[str, Any]) -> list[GalleryTable]:
    """Return a table for each target FPIR."""
    tables = []
    found = document["galleries"] or []
    for target in dict.fromkeys(row["target_fpir"] for row in found):
        cells: dict[tuple[str | None, int], dict[int, tuple[str, str]]] = {}
        for row in (row for row in found if row["target_fpir"] == target):
            known = row["dir_rank_1"] is not None
            text = (
                (rate(row["dir_rank_1"]), bounds(row["ci95_by_person"]["dir_rank_1"])) if known else ("not shown", "")
            )
            cells.setdefault((row["group"], row["gallery"]), {})[row["references"]] = text
        references = list(dict.fromkeys(row["references"] for row in found))
        rows = [
            (f"{whole(size)} people" + (f" of {group}" if group else ""), [one.get(n, ("", "")) for n in references])
            for (group, size), one in cells.items()
        ]
        tables.append(GalleryTable(rate(target), references, rows))
    return tables


def describe_supports(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the largest gallery that the trial supports, by number of references."""
    tried = document["calibration"]["supports"]
    if tried is None:
        return {}
    supports = Supports.model_validate(tried)
    label = f"Largest gallery (FPIR {rate(FPIR)} at most, more than {rate(MIN_DIR)} found)"
    return {label: [_describe_largest(supports, one) for one in supports.references]}


def _describe_largest(supports: Supports, references: int) -> str:
    largest = supports.largest_gallery(references)
    people = f"{whole(largest.people)} people" if largest.people else "none"
    return f"{references} enrolled, {people}" + (f" (group {largest.group})" if largest.group else "")


def describe_threshold(row: Mapping[str, Any]) -> str:
    """Return the threshold of a row of `at`, marked if the service decides at it."""
    return f"{row['threshold']:g} (in force)" if row["in_force"] else f"{row['threshold']:g}"


def _describe_failures(failures: Mapping[str, Any]) -> list[str]:
    reasons = [f"{reason.replace('_', ' ')}: {whole(count)}" for reason, count in failures["by_reason"].items()]
    return [f"{whole(failures['images'])}: {rate(failures['rate'])}", *reasons]
