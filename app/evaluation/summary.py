"""The main figures of a report in words. The page and the command print the same ones."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from app.evaluation.number_format import bounds, rate, seen, whole


class ErrorRates(NamedTuple):
    """The error rates at one threshold, in words."""

    threshold: str
    fmr: str
    fmr_interval: str
    fnmr: str
    fnmr_interval: str


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
    calibration = document["calibration"]
    return [
        ErrorRates(
            describe_threshold(row),
            seen(row["fmr"], calibration["impostor_pairs"]),
            bounds(row["ci95_by_person"]["fmr"]) if row["fmr"] else "",
            seen(row["fnmr"], calibration["genuine_pairs"]),
            bounds(row["ci95_by_person"]["fnmr"]) if row["fnmr"] else "",
        )
        for row in document["at"]
    ]


def describe_threshold(row: Mapping[str, Any]) -> str:
    """Return the threshold of a row of `at`, marked if the service decides at it."""
    return f"{row['threshold']:g} (in force)" if row["in_force"] else f"{row['threshold']:g}"


def _describe_failures(failures: Mapping[str, Any]) -> list[str]:
    reasons = [f"{reason.replace('_', ' ')}: {whole(count)}" for reason, count in failures["by_reason"].items()]
    return [f"{whole(failures['images'])}: {rate(failures['rate'])}", *reasons]
