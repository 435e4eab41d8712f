"""More connections than there is room for: idle ones make room, busy ones never, and the server stays calm.

Room is bounded by `max_connections`, or by the descriptors that the system allows (docs/security.md S26).
"""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from support.client_group import ClientGroup
from support.gauge import cpu_seconds, need_proc
from support.harness import PROGRAMS, Script, wait_until
from support.wire import Wire, fetch, request_bytes

pytestmark = pytest.mark.timed

GET = request_bytes("/")
HALF = request_bytes("/", "POST", {"Content-Length": "100"}) + b"half"


def open_idle(running) -> Wire:
    wire = running.wire()
    assert wire.send(GET).receive_answer().status == 200
    return wire


def is_open(wire: Wire) -> bool:
    """Whether it still answers."""
    return bool(wire.send_if_possible(GET).receive_some()) and wire.receive_answer().status == 200


def test_the_one_that_has_been_idle_longest_makes_room(serve, records):
    running = serve(lambda request: "x", max_connections=4)
    idle = [open_idle(running)]
    for _ in range(3):
        wait_a_tick()
        idle.append(open_idle(running))
    began = time.monotonic()
    newest = open_idle(running)
    assert time.monotonic() - began < 2
    idle[0].receive_end()
    assert [is_open(wire) for wire in [*idle[1:], newest]] == [True] * 4
    records.wait_for("max_connections")


def wait_a_tick() -> None:
    """Connections that became idle within one tick of the server's clock are equally old to it."""
    threading.Event().wait(0.15)


def test_one_that_has_never_said_anything_makes_room(serve):
    running = serve(lambda request: "x", max_connections=3)
    silent = [running.wire() for _ in range(3)]
    wait_a_tick()
    newest = [open_idle(running) for _ in range(3)]
    for wire in silent:
        wire.receive_end()
    assert all(is_open(wire) for wire in newest)


def test_a_crowd_of_silent_ones_does_not_keep_others_out(serve):
    running = serve(lambda request: "x", max_connections=20)
    with ClientGroup(running.address, 300) as group:
        for _ in range(10):
            assert running.fetch().text == "x"
        wait_until(lambda: group.ended() >= 280, "making room")


def test_busy_ones_are_never_shed(serve):
    """A half request, a handler at work, an answer on its way: a new client waits until one of them has ended."""
    release = threading.Event()
    routes = {"/": lambda request: request.content, "/wait": lambda request: release.wait(10) and b"waited"}
    routes["/large"] = lambda request: b"x" * 20_000_000
    running = serve(routes, max_connections=3)
    half = running.wire().send(HALF)
    working = running.wire().send(request_bytes("/wait"))
    reading = running.wire().send(request_bytes("/large", headers={"Connection": "close"}))
    assert reading.receive_some()
    newest = running.wire().send(GET)
    newest.socket.settimeout(0.5)
    with pytest.raises(AssertionError, match="nothing more came"):
        newest.receive_some()
    newest.socket.settimeout(10)
    while reading.socket.recv(1 << 20):
        pass
    assert newest.receive_answer().status == 200
    release.set()
    assert working.receive_answer().body == b"waited"
    assert half.send(b"x" * 96).receive_answer().body == b"half" + b"x" * 96


def test_one_that_becomes_idle_makes_room_for_one_that_waits(serve):
    """When the newcomer came all were busy; it does not wait until the deadline of an idle connection."""
    running = serve(lambda request: request.content, max_connections=2)
    busy = [running.wire().send(HALF) for _ in range(2)]
    newest = running.wire().send(GET)
    for wire in busy:
        assert wire.send(b"x" * 96).receive_answer().status == 200
    began = time.monotonic()
    assert newest.receive_answer().status == 200
    assert time.monotonic() - began < 2


# The descriptor limit of a whole server, Python's own files included.
DESCRIPTORS = 64


@pytest.fixture
def tight():
    """A server that runs out of descriptors long before it reaches its number of connections."""
    need_proc()
    script = Script(str(PROGRAMS / "greedy_app.py"), json.dumps({"max_connections": 10_000}), str(DESCRIPTORS))
    yield script
    assert script.stop() == 0, script.errors


def cpu_share(script: Script, seconds: float) -> float:
    """The part of a core that the server takes while no client does anything."""
    before = cpu_seconds(script.process.pid)
    threading.Event().wait(seconds)
    return (cpu_seconds(script.process.pid) - before) / seconds


def test_out_of_descriptors_idle_ones_are_shed(tight):
    with ClientGroup(tight.address, 300) as group:
        for _ in range(5):
            assert fetch(tight.address).text == "hello"
        assert group.ended() >= 300 - DESCRIPTORS


def test_out_of_descriptors_it_neither_spins_nor_ends(tight):
    """All are busy, so nothing can be shed: the rest waits, at no cost, until there is room."""
    with ClientGroup(tight.address, 100, HALF) as group:
        assert cpu_share(tight, 1) < 0.2
        shed = group.ended()  # before their half request had come
        assert shed < 20
        waiting = Wire(tight.address).send(GET)
        group.send(b"x" * 96)
        group.wait_until(lambda client: client.received or client.ended, "answered")
        assert sum(not client.received for client in group.clients) == shed
        assert waiting.receive_answer().text == "hello"
    wait_until(lambda: fetch(tight.address).text == "hello")
    assert cpu_share(tight, 0.5) < 0.2


def test_the_default_leaves_room_for_files():
    """Four fifths of the descriptors are for connections, so that handlers can still open something."""
    need_proc()
    script = Script(str(PROGRAMS / "greedy_app.py"), "{}", "256")
    with ClientGroup(script.address, 400, HALF) as group:
        deadline = time.monotonic() + 5
        count = descriptors(script)
        while count < 204 and time.monotonic() < deadline:
            group.receive(0.01)
            count = descriptors(script)
        assert 204 <= count < 240
        assert cpu_share(script, 0.5) < 0.2
    assert fetch(script.address, f"/file?path={PROGRAMS}/app.py").status == 200
    assert script.stop() == 0, script.errors


def descriptors(script: Script) -> int:
    return len(list(Path(f"/proc/{script.process.pid}/fd").iterdir()))
