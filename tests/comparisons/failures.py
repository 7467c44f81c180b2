"""What tests of failures share: how somebody fails, and how an answer says that it is too often."""

from typing import Any

import httpx

from tests.support.service_fixture import Party, RunningService
from tests.support.toy_faces import toy_photo

WRONG = 2
"""A face that nobody here enrols."""


def fail(party: Party, consent: dict[str, Any], times: int = 1) -> list[int]:
    """Let the party try the wrong face so often; returns the statuses."""
    return [party.verify(consent["subject_ref"], toy_photo(WRONG)).status_code for _ in range(times)]


def waits(answer: httpx.Response) -> int:
    """Return how long a refusal says to wait, in seconds."""
    assert (answer.status_code, answer.json()["type"]) == (429, "urn:mien:problem:too-many-attempts"), answer.text
    return int(answer.headers["Retry-After"])


def unhindered(service: RunningService) -> None:
    """Raise the limits on failures until no test reaches them."""
    limits = {"free_failures": 10_000, "failures_per_day": 10_000, "failed_references": 10_000}
    # In place: the running application has this object.
    vars(service.settings).update(limits)
