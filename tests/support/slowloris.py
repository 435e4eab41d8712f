"""Many clients that drip beside one that is healthy, and how long the healthy one waits."""

from __future__ import annotations

import itertools
import json
import statistics
import time

from support.client_group import ClientGroup
from support.harness import PROGRAMS, Script
from support.wire import Wire, parse_all, request_bytes

GET = request_bytes("/")
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
STRETCHES = 9
HALF_BODY = request_bytes("/", "POST", {"Content-Length": "1000"}) + b"half"


def ask(wire: Wire, length: int) -> float:
    """The seconds that an answer of this length takes."""
    began = time.perf_counter()
    wire.socket.sendall(GET)
    missing = length
    while missing:
        missing -= len(data := wire.socket.recv(missing))
        assert data, "the healthy client was cut"
    return time.perf_counter() - began


def p99_ratio(alone: list[float], beside: list[float]) -> float:
    """The median over several stretches of time of how many times larger the 99th percentile is beside the group."""
    size = len(alone) // STRETCHES
    assert size >= 100, f"only {len(alone)} requests: the machine is too slow for this test"
    ratios = []
    for start in range(0, size * STRETCHES, size):
        quiet, busy = (sorted(taken[start : start + size])[size * 99 // 100] for taken in (alone, beside))
        ratios.append(busy / quiet)
    return statistics.median(ratios)


def answer_length(wire: Wire) -> int:
    """How many bytes every answer has."""
    wire.socket.sendall(GET)
    wire.receive_some()
    length = len(wire.received)
    assert wire.receive_answer().status == 200
    return length


def drip(group: ClientGroup, pace: float):
    """A function that sends one byte from each client of the group every `pace` seconds, evenly spread over that time."""
    turns = itertools.cycle(group.clients)
    due, step = time.monotonic(), pace / len(group.clients)

    def send_due_bytes() -> None:
        nonlocal due
        while due <= time.monotonic():
            next(turns).send(b"a")
            due += step

    return send_due_bytes


def check_healthy(*arguments: object, **options: object) -> None:
    """`check_crowd`, and the healthy client waits at most twice as long; measured again if the machine was busy."""
    ratios: list[float] = []
    while not ratios or ratios[-1] > 2:
        assert len(ratios) < 3, f"p99 is {ratios} times what it is alone"
        ratios.append(check_crowd(*arguments, **options))  # type: ignore[arg-type]
    print(f"p99 is {ratios[-1]:.2f} times what it is alone")


def check_crowd(opening: bytes, count: int, deadline: float, seconds: float, **config: object) -> float:
    """Asserts that each client of the group is cut `deadline` seconds after its opening, and that it does not disturb, which
    is measured for so many seconds; how many times longer the healthy client waits for an answer."""
    settings = json.dumps({"max_socket_reuse": 10_000_000, **config})
    servers = [Script(str(PROGRAMS / "greedy_app.py"), settings) for _ in range(2)]
    alone, beside = (Wire(server.address) for server in servers)
    length = answer_length(alone)
    assert answer_length(beside) == length
    with alone, beside, ClientGroup(servers[1].address, count, opening) as group:
        send_due_bytes = drip(group, pace=10)
        taken: tuple[list[float], list[float]] = ([], [])
        turns = list(zip((alone, beside), taken, strict=True))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for wire, times in turns:
                send_due_bytes()
                times.append(ask(wire, length))
            turns.reverse()
        assert time.monotonic() < group.clients[0].opened + deadline, "the machine is too slow for this test"
        assert group.ended() == 0
        while any(client.ended is None for client in group.clients):
            assert time.monotonic() < end + deadline + 10, f"{count - group.ended()} are still open"
            send_due_bytes()
            group.receive(0.005)
        lasted = [client.ended - client.opened for client in group.clients]
        statuses = {tuple(answer.status for answer in parse_all(bytes(client.received))) for client in group.clients}
    for server in servers:
        assert server.stop() == 0, server.errors
    assert statuses == {(408,)}
    assert deadline - 0.15 <= min(lasted) <= max(lasted) <= deadline + 1, (min(lasted), max(lasted))
    return p99_ratio(*taken)
