"""Does one subject's frequent access delay another subject?

One person asks for access over and over, as fast as one connection goes, to a real service over HTTP: every answer must
be 200. Meanwhile another person reads their summary at a steady pace, first without that load and then under it. The
figure is the 99th percentile of their waiting time: the median of several runs of each, in turn.

    .venv/bin/python -m benchmarks.access_often [ACCESSES [RUNS]]
"""

import multiprocessing
import statistics
import sys
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Event

import httpx

from app.demo.service_process import ServiceProcess
from benchmarks.refusal_timing import Requester

READS = 500
PAUSE_S = 0.01
"""Between two reads of the other person, a person at a screen would leave more."""


def ask_on(url: str, token: str, stop: Event) -> None:
    """Ask for access until told to stop."""
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        while not stop.is_set():
            client.get("/v1/me/access", headers={"Authorization": token}).raise_for_status()


def p99(client: httpx.Client, token: str) -> float:
    """Read the summary at a steady pace; return the 99th percentile, in milliseconds."""
    took = []
    for _ in range(READS):
        began = time.perf_counter()
        client.get("/v1/me", headers={"Authorization": token}).raise_for_status()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    return statistics.quantiles(took, n=100)[-1]


def in_a_row(client: httpx.Client, token: str, accesses: int) -> None:
    """Ask for access so many times in a row, and print how it went."""
    codes: dict[int, int] = {}
    took = []
    for _ in range(accesses):
        began = time.perf_counter()
        code = client.get("/v1/me/access", headers={"Authorization": token}).status_code
        took.append((time.perf_counter() - began) * 1000)
        codes[code] = codes.get(code, 0) + 1
    told = ", ".join(f"{many} answered {code}" for code, many in codes.items())
    first, last = (statistics.median(part) for part in (took[: accesses // 10], took[-accesses // 10 :]))
    print(f"{accesses} accesses in a row: {told}; median {first:.1f} ms in the first tenth, {last:.1f} ms in the last")


def side_by_side(url: str, client: httpx.Client, tokens: Sequence[str], runs: int) -> None:
    """Compare the other person's waiting, idle and under load."""
    one, other = tokens
    idle, loaded = [], []
    for _ in range(runs):
        idle.append(p99(client, other))
        stop = multiprocessing.Event()
        asker = multiprocessing.Process(target=ask_on, args=(url, one, stop))
        asker.start()
        time.sleep(0.5)
        loaded.append(p99(client, other))
        stop.set()
        asker.join()
        print(f"  p99 of GET /v1/me: idle {idle[-1]:6.1f} ms, while another asks {loaded[-1]:6.1f} ms")
    before, under = statistics.median(idle), statistics.median(loaded)
    print(f"median of {runs} runs: idle {before:.1f} ms, while another asks {under:.1f} ms, {under / before:.2f} times")


def main(accesses: int, runs: int) -> None:
    """Measure and print."""
    with ServiceProcess(keep=False) as service:
        service.start()
        service.wait_ready()
        add = ("--contact", "bench@example.org", "--purpose", "verification", "--alternative", "a key card")
        party = service.command("relying-party", "add", "Door", *add)
        with httpx.Client(base_url=service.url, timeout=60, trust_env=False) as client:
            people = [Requester(client, party["relying_party_id"]) for _ in range(2)]
            for person in people:
                person.enrol()
            tokens = [person.ask("GET", "/v1/me").request.headers["Authorization"] for person in people]
            side_by_side(service.url, client, tokens, runs)
            in_a_row(client, tokens[0], accesses)


if __name__ == "__main__":
    main(*(int(given) for given in (*sys.argv[1:3], *("10000", "5")[len(sys.argv) - 1 :])))
