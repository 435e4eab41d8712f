"""Places for connections: no client and no kind of client holds most of them, and the one that has sent least gives way first.

The bounds are those of docs/security.md: `max_connections`, `max_connections_per_ip`, `max_websocket_connections`, and descriptors that
stay free for files (S26).
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time

import pytest

from outside import OutsideHTTP, Response
from support.client_group import ClientGroup
from support.gauge import need_proc
from support.harness import PROGRAMS, Script, wait_until
from support.websocket_styles import STYLES, websocket
from support.websocket_wire import WebSocketClient
from support.wire import DEADLINE, Wire, fetch, request_bytes

pytestmark = pytest.mark.timed

GET = request_bytes("/")
every_style = pytest.mark.parametrize("style", STYLES)


def wait_a_tick() -> None:
    """Connections that came within one tick of the server's clock are equally old to it."""
    threading.Event().wait(0.15)


def open_idle(running) -> Wire:
    wire = running.wire()
    assert wire.send(GET).receive_answer().status == 200
    return wire


# --- the order in which connections give way


@pytest.mark.parametrize("begun", [b"", b"G", b"\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n"], ids=repr)
def test_a_connection_without_a_complete_head_gives_way_before_an_older_idle_one(serve, begun):
    running = serve(lambda request: "x", max_connections=4)
    idle = open_idle(running)
    wait_a_tick()
    incomplete = []
    for _ in range(3):
        incomplete.append(running.wire().send_if_possible(begun))
        wait_a_tick()
    newest = open_idle(running)
    incomplete[0].receive_end()
    assert idle.send(GET).receive_answer().status == 200
    assert newest.send(GET).receive_answer().status == 200


def test_the_second_head_of_a_connection_may_be_the_one_that_gives_way(serve):
    """A connection that has been answered once does not keep its place by a head that never ends."""
    running = serve(lambda request: "x", max_connections=2)
    slow = open_idle(running).send(GET[:-2])
    wait_a_tick()
    resting = open_idle(running)
    wait_a_tick()
    newest = open_idle(running)
    slow.receive_end()
    assert resting.send(GET).receive_answer().status == 200
    assert newest.send(GET).receive_answer().status == 200


def test_a_head_that_is_completed_in_time_is_answered(serve):
    running = serve(lambda request: "x", max_connections=3)
    slow = running.wire().send(GET[:20])
    for _ in range(5):
        open_idle(running)
        running.fetch()
    assert slow.send(GET[20:]).receive_answer().status == 200


def test_a_flood_of_single_bytes_keeps_no_client_out(serve):
    running = serve(lambda request: "x", max_connections=50)
    end = time.monotonic() + 1.5
    waits = []
    with contextlib.ExitStack() as flood:
        while time.monotonic() < end:
            for _ in range(20):
                flood.enter_context(running.wire()).send_if_possible(b"G")
            began = time.monotonic()
            assert running.fetch().text == "x"
            waits.append(time.monotonic() - began)
    assert sorted(waits)[len(waits) // 2] < 1, waits


# --- places for WebSockets


def test_websockets_take_half_of_the_places_and_no_more(serve, records):
    for style in STYLES:
        handler = websocket(style)
        running = serve({"/ws": handler, "/": lambda request: "x"}, max_connections=20)
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(WebSocketClient(running.address)) for _ in range(10)]
            assert all(client.is_open for client in opened)
            refused = stack.enter_context(WebSocketClient(running.address)).answer
            assert (refused.status, refused.header("Retry-After")) == (503, "1"), style
            records.wait_for('config["max_websocket_connections"] sets this limit')
            assert all(open_idle(running) for _ in range(5))
            opened[0].close()
            wait_until(
                lambda running=running, stack=stack: stack.enter_context(WebSocketClient(running.address)).is_open,
                "a place that was given back",
            )
        running.stop()


def test_as_many_websockets_as_the_configuration_says(serve):
    handler = websocket("callbacks")
    running = serve({"/ws": handler}, max_connections=4, max_websocket_connections=4)
    with contextlib.ExitStack() as stack:
        assert all(stack.enter_context(WebSocketClient(running.address)).is_open for _ in range(4))


def test_a_websocket_without_a_thread_gives_its_place_back(serve):
    """`max_websockets` refuses it; the other bound does not count it."""
    blocking = websocket("blocking")
    callbacks = websocket("callbacks")
    routes = {"/ws": blocking, "/callbacks": callbacks}
    running = serve(routes, max_connections=20, max_websockets=1, max_websocket_connections=3)
    with contextlib.ExitStack() as stack:
        assert stack.enter_context(WebSocketClient(running.address)).is_open
        for _ in range(5):
            assert stack.enter_context(WebSocketClient(running.address)).answer.status == 503
        for _ in range(2):
            assert stack.enter_context(WebSocketClient(running.address, "/callbacks")).is_open


# --- one address


def client_of(server, stack: contextlib.ExitStack, address: str):
    return stack.enter_context(server.test_client(address=address, timeout=5))


def test_one_address_has_so_many_connections(records):
    server = counting_server(max_connections_per_ip=2)
    with contextlib.ExitStack() as stack:
        first, second, third = (client_of(server, stack, "198.51.100.7") for _ in range(3))
        assert first.get("/").text == "198.51.100.7"
        assert second.get("/").text == "198.51.100.7"
        records.wait_for("198.51.100.7 has as many connections as one address may have")
        with pytest.raises(ConnectionError, match="closed the connection without an answer"):
            third.get("/")
        records.wait_for('config["max_connections_per_ip"] sets this limit')
        assert client_of(server, stack, "198.51.100.8").get("/").status_code == 200, "another address"
        first.close()
        wait_until(lambda: answers(server, stack, "198.51.100.7"), "a place that was given back")


def test_the_first_64_bits_of_an_ipv6_address_count_as_one(records):
    server = counting_server(max_connections_per_ip=1)
    with contextlib.ExitStack() as stack:
        assert answers(server, stack, "2001:db8:0:1::1")
        assert not answers(server, stack, "2001:db8:0:1:ffff::2")
        assert answers(server, stack, "2001:db8:0:2::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.0.0.1", "172.16.5.5", "192.168.1.1", "fd00::5", "203.0.113.9"])
def test_near_addresses_and_trusted_proxies_are_not_counted(address):
    server = counting_server(max_connections_per_ip=1, trusted_proxies=["203.0.113.0/28"])
    with contextlib.ExitStack() as stack:
        assert all(answers(server, stack, address) for _ in range(4))


def counting_server(**config) -> OutsideHTTP:
    server = OutsideHTTP(("127.0.0.1", 0))
    server.set_route("/", lambda request: request.address[0])
    server.config.update(access_log="off", **config)
    return server


def answers(server, stack: contextlib.ExitStack, address: str) -> bool:
    try:
        return client_of(server, stack, address).get("/").status_code == 200
    except OSError:
        return False


# --- descriptors


def test_the_soft_limit_of_descriptors_is_raised():
    need_proc()
    program = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))\n"
        "from outside import OutsideHTTP\n"
        "server = OutsideHTTP(('127.0.0.1', 0))\n"
        "server.config['access_log'] = 'off'\n"
        "server.set_route('/', lambda request: str(resource.getrlimit(resource.RLIMIT_NOFILE)))\n"
        "server.run()\n"
    )
    script = Script("-c", program)
    half = request_bytes("/", "POST", {"Content-Length": "9"})
    with ClientGroup(script.address, 150, half):
        assert fetch(script.address).text == "(512, 512)"
    assert script.stop() == 0, script.errors


DESCRIPTORS = 100


@pytest.fixture
def exhausted():
    """A connection to a server that has no descriptor left, and files to ask for."""
    need_proc()
    settings = json.dumps({"max_connections": 10_000})
    script = Script(str(PROGRAMS / "greedy_app.py"), settings, str(DESCRIPTORS))
    wire = Wire(script.address)
    assert wire.send(GET).receive_answer().status == 200
    half = request_bytes("/", "POST", {"Content-Length": "9"}) + b"half"
    with ClientGroup(script.address, DESCRIPTORS + 50, half):
        taken = f"/proc/{script.process.pid}/fd"
        wait_until(lambda: len(os.listdir(taken)) >= DESCRIPTORS, "taking all descriptors")
        yield wire
    assert script.stop() == 0, script.errors


def test_without_a_descriptor_a_file_is_unavailable_not_missing(exhausted):
    answer = exhausted.send(request_bytes(f"/file?path={PROGRAMS}/app.py")).receive_answer()
    assert (answer.status, answer.header("Retry-After")) == (503, "1")
    answer = exhausted.send(request_bytes("/folder/app.py")).receive_answer()
    assert (answer.status, answer.header("Retry-After")) == (503, "1")


# --- threads


def test_uploads_hold_half_of_the_threads_and_no_more(server, start, records):
    """Handlers that take content while it comes in last as long as their clients want: other routes keep their threads."""
    server.config["max_workers"] = 6

    def save(request):
        return str(sum(len(piece) for piece in request.iter_body()))

    async def take(request):
        return str([len(piece) async for piece in request.iter_body()])

    server.set_route("/save", save, streaming=True)
    server.set_route("/take", take, streaming=True)
    server.set_route("/wait", lambda request: "waited", blocking=True)
    running = start()

    def begin(path):
        return running.wire().send(request_bytes(path, "POST", {"Content-Length": "10"}) + b"half")

    slow = [begin("/save") for _ in range(3)]
    wait_until(lambda: len(server._active_requests) == 3, "uploads at work")
    for _ in range(3):
        refused = begin("/save").receive_answer()
        assert (refused.status, refused.header("Retry-After")) == (503, "1")
    records.wait_for('config["max_workers"] sets this limit')
    assert [running.fetch("/wait").text for _ in range(3)] == ["waited"] * 3
    # They hold no thread.
    others = [begin("/take") for _ in range(8)]
    for wire in [*slow, *others]:
        assert wire.send(b"x" * 6).receive_answer().status == 200
    # The places were given back.
    again = [begin("/save") for _ in range(3)]
    for wire in again:
        assert wire.send(b"x" * 6).receive_answer().text == "10"


def test_uploads_to_a_route_with_a_parameter_hold_half_of_the_threads_too(server, start):
    server.config["max_workers"] = 4
    length, begun = 2 << 20, threading.Semaphore(0)

    @server.post("/save/<name>", streaming=True)
    def save(request, name):
        begun.release()
        return str(sum(len(piece) for piece in request.iter_body()))

    server.set_route("/wait", lambda request: "waited", blocking=True)
    running = start()

    def begin():
        return running.wire().send(request_bytes("/save/1", "POST", {"Content-Length": str(length)}) + b"half")

    slow = [begin() for _ in range(2)]
    for _ in slow:
        assert begun.acquire(timeout=DEADLINE)
    refused = [begin() for _ in range(2)]
    assert [wire.receive_answer().status for wire in refused] == [503, 503]
    assert [running.fetch("/wait").text for _ in range(3)] == ["waited"] * 3
    for wire in slow:
        assert wire.send(b"x" * (length - 4)).receive_answer().text == str(length)
    for wire in [*slow, *refused]:
        wire.close()


def test_pieces_that_wait_hold_no_more_threads_than_handlers(server, start):
    """A generator that waits for its next piece takes a thread: there are `max_workers` of them, however many clients ask."""
    server.config["max_workers"] = 6
    go_on, lock, waiting, most = threading.Event(), threading.Lock(), 0, 0

    def silent(request):
        def pieces():
            nonlocal waiting, most
            yield "begin"
            with lock:
                waiting += 1
                most = max(most, waiting)
            go_on.wait(DEADLINE)
            with lock:
                waiting -= 1
            yield "end"

        return Response(200, {}, pieces())

    server.set_route("/silent", silent)
    running = start()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(running.wire()).send(request_bytes("/silent")) for _ in range(40)]
        try:
            wait_until(lambda: waiting >= 6, "streams at work")
            threading.Event().wait(0.5)  # in which all others would have begun, each on a thread of its own
            assert running.fetch("/nothing").status == 404
        finally:
            go_on.set()
        assert [wire.receive_answer().text for wire in wires] == ["beginend"] * 40
    assert most <= 8
