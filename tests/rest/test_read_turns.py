"""Connections whose bodies arrive take turns at the event loop."""

import asyncio
from collections import Counter

import pytest
import uvicorn
from uvicorn.server import ServerState

from app.web.connections import ConnectionLimits
from app.web.http_protocol import create_protocol
from app.web.read_turns import READS_PER_ROUND
from tests.rest.test_splits import CONFIG, FakeTransport

pytestmark = pytest.mark.unit

SENDERS = 20
ROUNDS = 200
PIECE = bytes(1000)
HEAD = b"POST /early HTTP/1.1\r\nHost: mien\r\nContent-Length: 100000000\r\n\r\n"


async def _flood(config: uvicorn.Config, *, head: bytes) -> list[Counter[int]]:
    """Let many clients send without end. Returns, for each round of the loop, how often each was read."""
    loop, make = asyncio.get_running_loop(), create_protocol(ConnectionLimits())
    senders = [(make(config, ServerState(), {}, loop), FakeTransport()) for _ in range(SENDERS)]
    for protocol, transport in senders:
        protocol.connection_made(transport)
        protocol.data_received(head)
    rounds = []
    for _ in range(ROUNDS):
        await asyncio.sleep(0)
        reads = Counter[int]()
        for number, (protocol, transport) in enumerate(senders):
            if transport.reading:
                reads[number] += 1
                protocol.data_received(PIECE)
        rounds.append(reads)
    for protocol, _ in senders:
        protocol.connection_lost(None)
    return rounds


@pytest.mark.parametrize("path", [b"/", b"/early"], ids=["body in use", "body refused"])
def test_few_bodies_are_read_in_a_round_and_all_in_turn(path: bytes) -> None:
    rounds = asyncio.run(_flood(CONFIG, head=HEAD.replace(b"/early", path)))
    reads = sum(rounds, Counter[int]())

    assert max(one.total() for one in rounds) <= READS_PER_ROUND
    assert len(reads) == SENDERS
    assert max(reads.values()) - min(reads.values()) <= 1
    assert reads.total() >= ROUNDS
