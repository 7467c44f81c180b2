"""What do attacks by one account cost the other people? The bounds of `tests/attacks` are loose; these are the figures.

A real service (`mien serve`, engine `sface`) is attacked over HTTP by one account from many connections. Meanwhile
another person and a relying party use it one request after another, as they do on the quiet service before.

    .venv/bin/python -m benchmarks.attacks [RECEIPTS [CONNECTIONS]]
"""

import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from typing import Any

import httpx

from app.demo.service_process import ServiceProcess
from benchmarks.pictures import enlarged, photo
from benchmarks.refusal_timing import PROBE, Requester

SECONDS = 15.0
"""Time of each series."""
PAUSE_S = 0.02
Send = Callable[[httpx.Client], httpx.Response]


def attack(url: str, connections: int, request: dict[str, Any], ready: Event, stop: Event) -> None:
    """Send one request from many connections, again and again, and print the statuses."""
    statuses: Counter[int] = Counter()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
            while not stop.is_set():
                statuses[client.request(**request).status_code] += 1

    with ThreadPoolExecutor(connections) as threads:
        for _ in range(connections):
            threads.submit(ask)
        ready.set()
    print(f"    the attacker's answers: {dict(statuses)}")


@contextmanager
def attacking(url: str, connections: int, request: dict[str, Any]) -> Iterator[None]:
    """Attack in a process of its own until the end of the block."""
    ready, stop = multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=attack, args=(url, connections, request, ready, stop))
    process.start()
    ready.wait()
    time.sleep(1)
    try:
        yield
    finally:
        stop.set()
        process.join()


def series(url: str, send: Send) -> tuple[list[float], Counter[int]]:
    """Send one request after another for some time; return milliseconds in order, and the statuses."""
    took, statuses, until = [], Counter[int](), time.monotonic() + SECONDS
    with httpx.Client(base_url=url, timeout=600, trust_env=False) as client:
        while time.monotonic() < until:
            began = time.perf_counter()
            statuses[send(client).status_code] += 1
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
    return sorted(took), statuses


def measure(url: str, requests: dict[str, Send]) -> None:
    """Send all kinds of requests at once, each on a connection of its own, and print their times."""
    with ThreadPoolExecutor(len(requests)) as threads:
        found = {name: threads.submit(series, url, send) for name, send in requests.items()}
        for name, waiting in found.items():
            took, statuses = waiting.result()
            median, p99 = took[len(took) // 2], took[min(len(took) - 1, int(len(took) * 0.99))]
            print(f"    {name:12} n {len(took):4}  median {median:7.1f} ms  p99 {p99:7.1f} ms  {dict(statuses)}")


def victims(person: Requester, key: str) -> dict[str, Send]:
    """Return the requests of the person and of the relying party."""
    bearer = {"Authorization": person.ask("GET", "/v1/me").request.headers["Authorization"]}
    party = {"Authorization": f"Bearer {key}"}
    reference = {"subject_ref": person.consent["subject_ref"]}
    return {
        "liveness": lambda client: client.get("/livez"),
        "summary": lambda client: client.get("/v1/me", headers=bearer),
        "access": lambda client: client.get("/v1/me/access", headers=bearer),
        "restriction": lambda client: client.delete("/v1/me/restriction", headers=bearer),
        "verification": lambda client: client.post(
            "/v1/verifications", headers=party, data=reference, files={"probe": PROBE}
        ),
    }


def attacks(mallory: Requester, receipts: int) -> dict[str, dict[str, Any]]:
    """Return the request of each attack."""
    for _ in range(receipts // 2):
        mallory.ask("PUT", "/v1/me/restriction")
        mallory.ask("DELETE", "/v1/me/restriction")
    headers = {"Authorization": mallory.ask("GET", "/v1/me").request.headers["Authorization"]}
    own = {"consent_id": mallory.consent["consent_id"]}
    large = enlarged("P001", "studio_portrait", "12")
    flood = b"\xff\xd8\xff\xe0\0\0" + photo("P001", "studio_portrait")[2:-2]
    return {
        f"exports of {receipts} receipts": {"method": "GET", "url": "/v1/me/export", "headers": headers},
        "enrolments of five photos of 12 megapixels": {
            "method": "POST",
            "url": "/v1/me/enrolments",
            "headers": headers,
            "data": own,
            "files": [("photos", large)] * 5,
        },
        "files of 12 MB of 0xFF": {
            "method": "POST",
            "url": "/v1/me/enrolments",
            "headers": headers,
            "data": own,
            "files": [("photos", flood.ljust(12 * 1000 * 1000, b"\xff"))],
        },
    }


def main(receipts: int, connections: int) -> None:
    """Measure and print."""
    with ServiceProcess(keep=False, settings={"MIEN_ENGINE": "sface", "MIEN_RECEIPTS_PER_DAY": "10000"}) as service:
        service.start()
        service.wait_ready()
        add = ("--contact", "bench@example.org", "--purpose", "verification", "--alternative", "a key card")
        party = service.command("relying-party", "add", "Door", *add)
        with httpx.Client(base_url=service.url, timeout=600, trust_env=False) as client:
            person, mallory = (Requester(client, party["relying_party_id"]) for _ in range(2))
            person.enrol()
            requests = victims(person, party["api_key"])
            prepared = attacks(mallory, receipts)
            print("quiet")
            measure(service.url, requests)
            for name, request in prepared.items():
                print(f"{connections} connections: {name}")
                with attacking(service.url, connections, request):
                    measure(service.url, requests)


if __name__ == "__main__":
    main(*(int(given) for given in (*sys.argv[1:3], *("632", "45")[len(sys.argv) - 1 :])))
