"""Turns of the engine's event loop beside asyncio: several requests wake the asyncio thread once, and the scheduling policy of
the engine's waits is no handler's, and no thread's or process's that a handler starts."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.subprocesses import run_process
from support.wire import Wire, request_bytes

CLIENTS, TURNS = 16, 60
CHILD = "import os; print(os.sched_getscheduler(0))"


def load(address: tuple, target: str) -> int:
    """The answers to many requests, all clients' of a turn sent before the first answer is read."""
    wires = [Wire(address) for _ in range(CLIENTS)]
    answered = 0
    for _ in range(TURNS):
        for wire in wires:
            wire.send(request_bytes(target))
        answered += sum(wire.receive_answer().status == 200 for wire in wires)
    for wire in wires:
        wire.close()
    return answered


def test_each_request_of_a_turn_wakes_its_handler(server, start):
    """With clients that all wait, so that a wake that is forgotten would leave one of them without an answer."""

    @server.get("/now")
    async def now():
        return "now"

    @server.get("/later")
    async def later():
        await asyncio.sleep(0)
        return "later"

    @server.get("/thread")
    def thread():
        return "thread"

    running = start()
    with ThreadPoolExecutor(3) as pool:
        assert [*pool.map(load, [running.address] * 3, ["/now", "/later", "/thread"])] == [CLIENTS * TURNS] * 3


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="the system has no scheduling policies")
def test_a_handler_never_inherits_the_policy_of_a_wait(server, start):
    usual = os.sched_getscheduler(0)

    def policies() -> set[int]:
        seen = [os.sched_getscheduler(threading.get_native_id())]
        thread = threading.Thread(target=lambda: seen.append(os.sched_getscheduler(threading.get_native_id())))
        thread.start()
        thread.join()
        seen.append(int(run_process([sys.executable, "-c", CHILD], capture_output=True, check=True).stdout))
        return set(seen)

    @server.get("/busy")
    async def busy():
        return str(sum(range(2000)))

    @server.get("/async")
    async def from_async():
        return sorted(policies())

    @server.get("/thread")
    def from_thread():
        return sorted(policies())

    running = start()
    with ThreadPoolExecutor(2) as pool, Wire(running.address) as wire:
        loads = [pool.submit(load, running.address, "/busy") for _ in range(2)]
        for target in ["/async", "/thread"] * 5:
            wire.send(request_bytes(target))
            assert json.loads(wire.receive_answer().body) == [usual]
        assert [each.result() for each in loads] == [CLIENTS * TURNS] * 2
