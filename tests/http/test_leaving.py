"""Clients that close their side, and clients that leave: the one is answered (RFC 9112 section 9.6), the other noticed."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
import struct
import threading

import pytest

from outside import Response, event_stream
from support.certificates import Certificate, SecureWire, certificate
from support.harness import wait_until
from support.wire import DEADLINE, Wire, parse_all, request_bytes

PAUSE = 0.05


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Certificate:
    return certificate(tmp_path_factory.mktemp("certificate"))


def plain(request):
    return "answer"


async def asynchronous(request):
    await asyncio.sleep(PAUSE)
    return "answer"


def plain_stream(request):
    return Response(200, {}, (piece for piece in ("an", "swer")))


async def asynchronous_stream(request):
    async def pieces():
        for piece in ("an", "sw", "er"):
            await asyncio.sleep(PAUSE)
            yield piece

    return Response(200, {}, pieces())


async def events(request):
    async def happen():
        await asyncio.sleep(PAUSE)
        yield "answer"

    return event_stream(happen())


ROUTES = {
    "/plain": plain,
    "/asynchronous": asynchronous,
    "/plain_stream": plain_stream,
    "/asynchronous_stream": asynchronous_stream,
    "/events": events,
}


def half_close(wire: Wire) -> Wire:
    """FIN, below TLS too: `SSLSocket.shutdown` would end the encryption."""
    socket.socket.shutdown(wire.socket, socket.SHUT_WR)
    return wire


def reset(wire: Wire) -> None:
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.close()


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "TLS"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_client_that_closes_its_side_is_answered(serve, own, version, secure):
    running = serve(ROUTES, **(own.config if secure else {}))
    for target in ROUTES:
        with SecureWire(running.address, own.client()) if secure else running.wire() as wire:
            if secure:
                wire.socket.suppress_ragged_eofs = False  # the end has to be said: close_notify
            half_close(wire.send(f"GET {target} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode()))
            [answer] = parse_all(wire.receive_rest())
            assert answer.status == 200
            assert "answer" in answer.text.replace(": keep-alive\n\n", ""), target


@pytest.mark.parametrize("secure", [False, True], ids=["clear", "TLS"])
def test_all_that_it_has_asked_is_answered(serve, own, secure):
    running = serve(ROUTES, **(own.config if secure else {}))
    with SecureWire(running.address, own.client()) if secure else running.wire() as wire:
        half_close(wire.send(b"".join(request_bytes(target) for target in [*ROUTES] * 2)))
        answers = parse_all(wire.receive_rest())
    assert [answer.status for answer in answers] == [200] * 2 * len(ROUTES)


def test_content_comes_before_the_end(serve):
    async def echo(request):
        await asyncio.sleep(PAUSE)
        return request.content

    async def taken(request):
        pieces = [piece async for piece in request.iter_body()]
        await asyncio.sleep(PAUSE)
        return b"".join(pieces)

    running = serve({"/echo": echo})
    running.server.set_route("/taken", taken, streaming=True)
    for target in ("/echo", "/taken"):
        with running.wire() as wire:
            half_close(wire.send(request_bytes(target, "POST", body=b"x" * 100_000)))
            assert [len(answer.body) for answer in parse_all(wire.receive_rest())] == [100_000]


def test_http2(serve):
    """A client that closes its side of a connection with several streams."""
    pytest.importorskip("h2")
    import h2.connection
    import h2.events

    running = serve(ROUTES, h2c=True)
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    for number, target in enumerate(ROUTES):
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", target)]
        connection.send_headers(2 * number + 1, fields, end_stream=True)
    bodies: dict[int, bytes] = {}
    ended = set()
    with running.wire() as wire:
        half_close(wire.send(connection.data_to_send()))
        while wire.receive_some():
            for event in connection.receive_data(bytes(wire.received)):
                if isinstance(event, h2.events.DataReceived):
                    bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                elif isinstance(event, h2.events.StreamEnded):
                    ended.add(event.stream_id)
            wire.received.clear()
    assert ended == {1, 3, 5, 7, 9}
    assert all(b"answer" in body for body in bodies.values()), bodies


def test_a_silent_stream_of_events_asks_whether_its_reader_is_there(serve):
    """The comment comes at once, and one that has left is noticed by it."""
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)

    def handler(request):
        async def happen():
            begun.release()
            try:
                await asyncio.sleep(DEADLINE)
                yield "never"
            finally:
                ended.release()

        return event_stream(happen(), keep_alive=60)

    running = serve(handler, termination_timeout=0)
    with running.wire() as wire:
        half_close(wire.send(request_bytes("/")))
        while b": keep-alive\n\n" not in wire.received:
            assert wire.receive_some()
        assert begun.acquire(timeout=DEADLINE)
        assert not ended.acquire(blocking=False)
        with running.wire() as leaving:
            leaving.send(request_bytes("/"))
            assert begun.acquire(timeout=DEADLINE)
        assert ended.acquire(timeout=DEADLINE)


HANDLERS = {"never": (False, None), "server": (True, None), "route": (False, True), "not this route": (True, False)}


@pytest.mark.parametrize("leave", [Wire.close, half_close, reset])
@pytest.mark.parametrize("says", HANDLERS)
def test_handlers_are_cancelled_only_if_that_is_asked_for(serve, says, leave):
    begun, go_on, steps = threading.Event(), threading.Event(), []

    async def handler(request):
        begun.set()
        try:
            await asyncio.to_thread(go_on.wait, DEADLINE)
            steps.append("written")
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise

    of_server, of_route = HANDLERS[says]
    running = serve(plain, cancel_on_disconnect=of_server)
    running.server.set_route("/writes", handler, cancel_on_disconnect=of_route)
    wire = running.wire()
    wire.send(request_bytes("/writes"))
    assert begun.wait(DEADLINE)
    leave(wire)
    if of_server if of_route is None else of_route:
        wait_until(lambda: steps)
    else:
        assert running.fetch().text == "answer"
        go_on.set()
        wait_until(lambda: steps)
    go_on.set()
    wire.close()
    assert steps == ["cancelled" if (of_server if of_route is None else of_route) else "written"]


@pytest.mark.timed
def test_a_handler_whose_client_is_gone_has_no_more_time_than_others(serve):
    """And its connection goes on counting as one, so that leaving does not buy another handler."""
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)

    async def handler(request):
        begun.release()
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            ended.release()

    running = serve(handler, process_timeout=0.5, max_connections=3)
    for _ in range(3):
        wire = running.wire().send(request_bytes("/"))
        assert begun.acquire(timeout=DEADLINE)
        reset(wire)
    with running.wire() as wire:
        wire.send(request_bytes("/"))
        for _ in range(3):
            assert ended.acquire(timeout=DEADLINE)
        assert begun.acquire(timeout=DEADLINE)


def test_cancelling_is_for_functions(server, tmp_path):
    from outside import FilePath

    with pytest.raises(ValueError, match="cancel_on_disconnect is for functions"):
        server.set_route("/file", FilePath(str(tmp_path)), cancel_on_disconnect=True)


def test_decorators_and_streams(server, start):
    """A stream is ended as a handler is cancelled."""
    steps = []

    @server.get("/", cancel_on_disconnect=True)
    def stream():
        async def pieces():
            try:
                yield "first"
                await asyncio.sleep(DEADLINE)
            finally:
                steps.append("ended")

        return Response(200, {}, pieces())

    with start().wire() as wire:
        wire.send(request_bytes("/")).receive_some()
        half_close(wire)
        wait_until(lambda: steps)


# --- streams that say nothing


@pytest.mark.parametrize("leave", [Wire.close, reset])
def test_an_empty_piece_is_no_progress(serve, leave):
    """A generator of empty pieces ends when its client leaves, whether its answer has begun or not."""
    begun, ended = threading.Semaphore(0), threading.Semaphore(0)

    def empty(request):
        def pieces():
            begun.release()
            try:
                yield b"first" if request.url == "/begun" else b""
                while True:
                    threading.Event().wait(0.01)
                    yield b""
            finally:
                ended.release()

        return Response(200, {}, pieces())

    async def empty_async(request):
        async def pieces():
            begun.release()
            try:
                while True:
                    await asyncio.sleep(0)
                    yield b""
            finally:
                ended.release()

        return Response(200, {}, pieces())

    running = serve({"/empty": empty, "/begun": empty, "/async": empty_async})
    for target in ("/empty", "/begun", "/async"):
        wire = running.wire().send(request_bytes(target))
        assert begun.acquire(timeout=DEADLINE)
        if target == "/begun":
            wire.receive_some()
        leave(wire)
        assert ended.acquire(timeout=DEADLINE), target


@pytest.mark.timed
@pytest.mark.parametrize("kind", ["plain", "asynchronous"])
def test_process_timeout_counts_through_empty_pieces(serve, records, kind):
    ended = threading.Event()

    def plain(request):
        def pieces():
            try:
                for _ in itertools.count():
                    threading.Event().wait(0.01)
                    yield ""
            finally:
                ended.set()

        return Response(200, {}, pieces())

    async def asynchronous(request):
        async def pieces():
            try:
                while True:
                    await asyncio.sleep(0.01)
                    yield ""
            finally:
                ended.set()

        return Response(200, {}, pieces())

    running = serve(plain if kind == "plain" else asynchronous, process_timeout=0.3)
    with running.wire() as wire:
        wire.send(request_bytes("/")).receive_rest()
    assert ended.wait(DEADLINE)
    records.wait_for("process_timeout")


@pytest.mark.parametrize("leave", [Wire.close, reset])
@pytest.mark.parametrize("begun", [False, True], ids=["before", "after its first piece"])
def test_streams_whose_clients_have_left_hold_no_thread(serve, leave, begun):
    """Each waits where nothing can end it; other routes that need a thread have theirs."""
    count, waiting, go_on, ended = 20, threading.Semaphore(0), threading.Event(), threading.Semaphore(0)

    def silent(request):
        def pieces():
            try:
                if begun:
                    yield "first"
                waiting.release()
                go_on.wait(DEADLINE)
                yield "second"
                yield "third"
            finally:
                ended.release()

        return Response(200, {}, pieces())

    running = serve({"/silent": silent}, max_workers=count)
    running.server.set_route("/thread", lambda request: "thread", blocking=True)
    try:
        wires = [running.wire().send(request_bytes("/silent")) for _ in range(count)]
        for wire in wires:
            assert waiting.acquire(timeout=DEADLINE)
        for wire in wires:
            leave(wire)
        assert running.fetch("/thread").text == "thread"
    finally:
        go_on.set()
    for _ in range(count):
        assert ended.acquire(timeout=DEADLINE)


def test_log_lines_of_clients_that_have_left(serve, records):
    running = serve(ROUTES, access_log="json")
    with running.wire() as wire:
        half_close(wire.send(request_bytes("/asynchronous"))).receive_rest()
    record = records.wait_for(lambda record: record.name == "outside.access")
    assert json.loads(record.getMessage())["status"] == 200
