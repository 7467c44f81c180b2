"""Can a relying party infer from response times why it may not use a reference?

Sends unusable references of every kind to a real service over HTTP, in random order. Compares the times with those of
an unknown reference. The AUC is the chance that a request of that kind takes longer than one with an unknown
reference: 0.5 reveals nothing. Its 95 % interval is a bootstrap over the requests.

    .venv/bin/python -m benchmarks.refusal_timing [REQUESTS OF EACH KIND]
"""

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from app.demo.people import PhotoFile
from app.demo.service_process import ServiceProcess

WARM_UP = 30
RESAMPLES = 400
PROBE = ("probe.jpg", PhotoFile.load("P001-happy.jpg").content)


class Requester:
    """A person with a token, who can consent and enrol."""

    def __init__(self, client: httpx.Client, party_id: str) -> None:
        given = client.post("/v1/subjects", json={"declared_adult": True}).raise_for_status().json()
        self.ask: Callable[..., httpx.Response] = lambda method, path, **sent: client.request(
            method, path, headers={"Authorization": f"Bearer {given['access_token']}"}, **sent
        ).raise_for_status()
        notices = client.get("/v1/notices").json()["items"]
        notice = next(item["sha256"] for item in notices if item["purpose"] == "verification")
        body = {"purpose": "verification", "relying_party_id": party_id, "notice_sha256": notice}
        self.consent: dict[str, Any] = self.ask("POST", "/v1/me/consents", json=body).json()

    def enrol(self) -> None:
        """Enrol one photo."""
        photo = PhotoFile.load("P001-portrait.jpg")
        consent_id = self.consent["consent_id"]
        files = {"photos": (photo.name, photo.content)}
        self.ask("POST", "/v1/me/enrolments", data={"consent_id": consent_id}, files=files)


def enrolled(client: httpx.Client, party_id: str) -> Requester:
    """Return a person who consents to the party and has enrolled."""
    person = Requester(client, party_id)
    person.enrol()
    return person


def references(client: httpx.Client, party_id: str, other_id: str) -> dict[str, str]:
    """Make one reference of each kind that the party may not use."""
    found = {"unknown": "x" * 24}
    not_enrolled = Requester(client, party_id)
    found["not enrolled"] = not_enrolled.consent["subject_ref"]
    restricted = enrolled(client, party_id)
    restricted.ask("PUT", "/v1/me/restriction")
    found["restricted"] = restricted.consent["subject_ref"]
    deleted = enrolled(client, party_id)
    (enrolment,) = deleted.ask("GET", "/v1/me/enrolments").json()["items"]
    deleted.ask("DELETE", f"/v1/me/enrolments/{enrolment['enrolment_id']}")
    found["enrolment deleted"] = deleted.consent["subject_ref"]
    withdrawn = enrolled(client, party_id)
    withdrawn.ask("DELETE", f"/v1/me/consents/{withdrawn.consent['consent_id']}")
    found["withdrawn"] = withdrawn.consent["subject_ref"]
    erased = enrolled(client, party_id)
    erased.ask("DELETE", "/v1/me")
    found["erased"] = erased.consent["subject_ref"]
    found["another party's"] = enrolled(client, other_id).consent["subject_ref"]
    return found


def measure(client: httpx.Client, key: str, refs: dict[str, str], each: int) -> dict[str, list[float]]:
    """Time *each* requests of every kind, in random order; milliseconds."""
    order = [kind for kind in refs for _ in range(each)]
    random.shuffle(order)
    took: dict[str, list[float]] = {kind: [] for kind in refs}
    for number, kind in enumerate([*refs] * WARM_UP + order):
        began = time.perf_counter()
        answer = client.post(
            "/v1/verifications",
            headers={"Authorization": f"Bearer {key}"},
            data={"subject_ref": refs[kind]},
            files={"probe": PROBE},
        )
        milliseconds = (time.perf_counter() - began) * 1000
        if answer.status_code != httpx.codes.NOT_FOUND:
            raise SystemExit(f"{kind}: {answer.status_code}")
        if number >= len(refs) * WARM_UP:
            took[kind].append(milliseconds)
    return took


def auc(slower: Sequence[float], base: Sequence[float]) -> float:
    """Return the chance that one of *slower* is larger than one of *base*, ties half."""
    ranked = sorted([(value, 1) for value in slower] + [(value, 0) for value in base])
    rank_sum = sum(rank for rank, (_, is_slower) in enumerate(ranked, start=1) if is_slower)
    return (rank_sum - len(slower) * (len(slower) + 1) / 2) / (len(slower) * len(base))


def interval(slower: Sequence[float], base: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of `auc`."""
    again = sorted(
        auc(random.choices(slower, k=len(slower)), random.choices(base, k=len(base))) for _ in range(RESAMPLES)
    )
    return again[int(0.025 * RESAMPLES)], again[int(0.975 * RESAMPLES)]


def main(each: int) -> None:
    """Measure and print the table."""
    # Else repeats of one reference would soon have to wait.
    with ServiceProcess(keep=False, settings={"MIEN_UNUSABLE_REPEATS": "10000"}) as service:
        service.start()
        service.wait_ready()
        add = ("--contact", "bench@example.org", "--purpose", "verification", "--alternative", "a key card")
        party, other = (service.command("relying-party", "add", name, *add) for name in ("Door", "Gate"))
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            refs = references(client, party["relying_party_id"], other["relying_party_id"])
            took = measure(client, party["api_key"], refs, each)
    print(f"{each} requests of each kind")
    print(f"{'reason':18}{'median ms':>10}{'p90 ms':>9}{'AUC against unknown (95 %)':>32}")
    for kind, times in took.items():
        low, high = interval(times, took["unknown"])
        p90 = statistics.quantiles(times, n=10)[-1]
        against = "" if kind == "unknown" else f"{auc(times, took['unknown']):.3f} ({low:.3f} to {high:.3f})"
        print(f"{kind:18}{statistics.median(times):10.2f}{p90:9.2f}{against:>32}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
