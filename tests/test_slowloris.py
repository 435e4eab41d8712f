"""Two thousand clients that drip a head, or a body, beside one that is healthy (edge.md S23, S24).

Two servers alike: one has the healthy client alone, the other the crowd as well. They are measured in turns, window by
window, so that whatever else the machine does falls on both. Everything here is one thread: the crowd drips between
two requests of the healthy client, and only its requests are timed.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time

from crowd import Client, Crowd
from harness import HERE, Script
from wire import Wire, parse_all, request_bytes

GET = request_bytes("/")
HALF_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "
HALF_BODY = request_bytes("/", "POST", {"Content-Length": "1000"}) + b"half"


def window(wire: Wire, length: int, requests: int, between=lambda: None) -> float:
    """The 99th percentile of the seconds that an answer of this length takes."""
    taken = []
    for _ in range(requests):
        between()
        began = time.perf_counter()
        wire.socket.sendall(GET)
        missing = length
        while missing:
            missing -= len(data := wire.socket.recv(missing))
            assert data, "the healthy client was cut"
        taken.append(time.perf_counter() - began)
    return sorted(taken)[round(requests * 0.99) - 1]


def answer_length(wire: Wire) -> int:
    """How many bytes every answer has."""
    wire.socket.sendall(GET)
    wire.receive_some()
    length = len(wire.received)
    assert wire.receive_answer().status == 200
    return length


def drip(crowd: Crowd, pace: float):
    """A function that sends one byte from each of the crowd every `pace` seconds, evenly spread over that time."""
    turns = itertools.cycle(crowd.clients)
    due, step = time.monotonic(), pace / len(crowd.clients)

    def send_what_is_due() -> None:
        nonlocal due
        while due <= time.monotonic():
            next(turns).send(b"a")
            due += step

    return send_what_is_due


def check_crowd(opening: bytes, count: int, deadline: float, windows: int, requests: int = 300, **config) -> float:
    """Asserts that the crowd does not disturb, and that each is cut so many seconds after its opening; how many times
    longer the healthy client waits for an answer."""
    settings = json.dumps({"max_socket_reuse": 10_000_000, **config})
    servers = [Script(str(HERE / "greedy_app.py"), settings) for _ in range(2)]
    alone, beside = (Wire(server.address) for server in servers)
    length = answer_length(alone)
    assert answer_length(beside) == length
    with alone, beside, Crowd(servers[1].address, count) as crowd:
        began: dict[Client, float] = {}
        for client in crowd.clients:
            client.send(opening)
            began[client] = time.monotonic()
        send_what_is_due = drip(crowd, pace=10)
        ratios = []
        for _ in range(windows):
            quiet = window(alone, length, requests)
            ratios.append(window(beside, length, requests, send_what_is_due) / quiet)
        measured = time.monotonic()
        assert measured - began[crowd.clients[0]] < deadline, "the machine is too slow for this test"
        assert crowd.ended() == 0
        while any(client.ended is None for client in crowd.clients):
            assert time.monotonic() < measured + deadline + 10, f"{count - crowd.ended()} are still open"
            send_what_is_due()
            crowd.receive(0.005)
        lasted = [client.ended - began[client] for client in crowd.clients]
        statuses = {tuple(answer.status for answer in parse_all(bytes(client.received))) for client in crowd.clients}
    for server in servers:
        assert server.stop() == 0, server.errors
    assert statuses == {(408,)}
    assert deadline - 0.15 <= min(lasted) <= max(lasted) <= deadline + 1, (min(lasted), max(lasted))
    ratio = statistics.median(ratios)
    assert ratio <= 2, sorted(ratios)
    return ratio


def test_two_thousand_dripping_heads():
    ratio = check_crowd(HALF_HEAD, 2000, deadline=7, windows=21, header_timeout=7)
    print(f"p99 is {ratio:.2f} times what it is alone")
