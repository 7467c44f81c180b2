"""Helpers for tests of failed comparisons."""

from typing import Any

import httpx

from tests.support.service_fixture import Party, RunningService
from tests.support.toy_faces import toy_photo

WRONG = 2
"""A face that no test enrols."""


def fail(party: Party, consent: dict[str, Any], times: int = 1) -> list[int]:
    """Verify the wrong face several times. Returns the statuses."""
    return [party.verify(consent["subject_ref"], toy_photo(WRONG)).status_code for _ in range(times)]


def waits(answer: httpx.Response) -> int:
    """Return the wait that a refusal states, in seconds."""
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:mien:problem:too-many-attempts"), answer.text
    return int(answer.headers["Retry-After"])


def unhindered(service: RunningService) -> None:
    """Raise the limits on failures beyond the reach of a test."""
    names = ("free_failures", "failures_per_day", "failed_references", "unusable_repeats")
    limits = dict.fromkeys(names, 10_000)
    # In place: the running application uses this object.
    vars(service.settings).update(limits)
