"""Turns of requests, and the memory for their bodies, without a service."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.types import Message

from app.web.body_memory import BodyMemory
from app.web.lanes import Lane

pytestmark = pytest.mark.service


class Client:
    """A client that waits for its answer until it leaves."""

    def __init__(self) -> None:
        self.left = asyncio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}


class Requests:
    """Requests to one lane; each holds its turn until `end`."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.begun: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.clients: dict[str, Client] = {}

    async def send(self, *names: str) -> None:
        """Send requests; the first letter of a name is the caller."""
        for name in names:
            self._ends[name], self.clients[name] = asyncio.Event(), Client()
            self.tasks[name] = asyncio.create_task(self._run(name))
        await settle()

    async def end(self, *names: str) -> None:
        """End the turns of requests."""
        for name in names:
            self._ends[name].set()
            await settle()

    async def _run(self, name: str) -> None:
        async with self.lane.turn(name[0], self.clients[name].request):
            self.begun.append(name)
            await self._ends[name].wait()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


def run(test: Callable[[], Awaitable[Any]]) -> None:
    """Run an asynchronous test."""

    async def whole() -> None:
        await test()

    asyncio.run(whole())


def test_callers_take_turns_and_one_caller_has_a_share() -> None:
    async def test() -> None:
        requests = Requests(Lane(per_caller=2, total=3))
        await requests.send("a1", "a2", "a3", "a4", "b1", "b2", "c1")
        first = list(requests.begun)
        await requests.end("a1", "a2", "b1")

        assert first == ["a1", "a2", "b1"]
        assert requests.begun == [*first, "a3", "b2", "c1"]
        await requests.end("a3", "a4", "b2", "c1")
        assert not requests.lane._running
        assert requests.lane.waiting() == 0

    run(test)


def test_client_that_leaves_and_request_that_is_cancelled_take_no_turn() -> None:
    async def test() -> None:
        requests = Requests(Lane(per_caller=1))
        await requests.send("a1", "a2", "a3", "a4")
        requests.clients["a2"].left.set()
        requests.tasks["a3"].cancel()
        await settle()
        waiting = requests.lane.waiting()
        await requests.end("a1")

        assert (waiting, requests.begun) == (1, ["a1", "a4"])
        with pytest.raises(HTTPException):
            await requests.tasks["a2"]
        await requests.end("a4")
        assert not requests.lane._running

    run(test)


def test_turn_of_a_request_that_is_cancelled_as_it_begins_is_given_on() -> None:
    async def test() -> None:
        requests = Requests(Lane(per_caller=1))
        await requests.send("a1", "a2", "a3")
        requests._ends["a1"].set()
        await asyncio.sleep(0)
        requests.tasks["a2"].cancel()
        await settle()

        assert requests.begun == ["a1", "a3"]
        await requests.end("a3")
        assert not requests.lane._running

    run(test)


def test_caller_over_the_share_of_memory_is_refused_alone() -> None:
    memory = BodyMemory(total=100, share=40)

    assert memory.reserve("ada", 40)
    assert not memory.reserve("ada", 1)
    assert memory.reserve("ben", 40)
    memory.release("ada", 10)
    assert memory.reserve("ada", 10)
    assert not memory.reserve("eve", 21), "no memory is left"


def test_first_body_of_a_caller_finds_memory_even_if_others_use_all() -> None:
    memory = BodyMemory(total=100, share=100, always=30)

    assert memory.reserve("ada", 100)
    assert memory.reserve("ben", 30)
    assert not memory.reserve("ben", 1)
    memory.release("ada", 100)
    assert memory.reserve("ben", 1)
    memory.release("ben", 31)
    assert (memory._free, dict(memory._held)) == (100, {})
