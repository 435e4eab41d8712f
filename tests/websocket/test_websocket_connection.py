"""The methods of a connection, `recv` to `exit`, and its attributes; over raw frames."""

from __future__ import annotations

import asyncio
import json
import queue
import time

import pytest

import outside
from outside import (
    Request,
    WebSocket,
    WebSocketExit,
)
from support.harness import wait_until
from support.websocket_styles import ASYNC, BLOCKING, STYLES, Ends, websocket
from support.websocket_wire import PING, PONG, WebSocketClient, close_frame, frame
from support.wire import DEADLINE

every_style = pytest.mark.parametrize("style", STYLES)


# --- recv


@pytest.mark.timed
@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_recv_with_a_timeout(serve, style):
    made, took = WebSocket(), []
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            for timeout in (0, 0.05):
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    connection.recv(timeout=timeout)
                took.append(time.monotonic() - begun)
            connection.send("too late")
            for timeout in (5, 1e300, float("inf"), None):
                connection.send(connection.recv(timeout=timeout))

    else:

        @made.on_connection
        async def awaiting(connection):
            for timeout in (0, 0.05):
                begun = time.monotonic()
                with pytest.raises(TimeoutError):
                    await connection.recv(timeout=timeout)
                took.append(time.monotonic() - begun)
            await connection.send("too late")
            for timeout in (5, 1e300, float("inf"), None):
                await connection.send(await connection.recv(timeout=timeout))

    with WebSocketClient(serve({"/ws": made}).address) as client:
        assert client.receive_message() == "too late"
        for number in range(4):
            assert client.send_message(str(number)).receive_message() == str(number)
        assert client.receive_close_and_end() == (1000, "")
    assert took[0] < 1
    assert 0.04 < took[1] < 2


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_iteration_ends_with_the_connection(serve, style):
    made, told = WebSocket(), queue.Queue()
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            told.put([bytes(message) for message in connection])
            told.put(connection.close_code)

    else:

        @made.on_connection
        async def awaiting(connection):
            told.put([bytes(message) async for message in connection])
            told.put(connection.close_code)

    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send_message("one").send_message(b"two").send(close_frame(4001, "enough"))
        assert client.receive_close() == (4001, "")
    assert told.get(timeout=DEADLINE) == [b"one", b"two"]
    assert told.get(timeout=DEADLINE) == 4001


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_the_end_as_handlers_see_it(serve, records, style):
    """`WebSocketExit` from `recv`, again and again, and from `send`; uncaught it ends the handler quietly."""
    made, told = WebSocket(), queue.Queue()

    def tell(call, error):
        told.put((call, error.code, error.reason, str(error)))

    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            told.put((connection.close_code, connection.close_reason))
            for call in (connection.recv, connection.recv, lambda: connection.send("x"), lambda: connection.recv(1)):
                try:
                    call()
                except WebSocketExit as error:
                    tell("exit", error)
            connection.exit()
            connection.ping()
            connection.subscribe("room")
            told.put((connection.close_code, connection.close_reason))
            connection.recv()

    else:

        @made.on_connection
        async def awaiting(connection):
            told.put((connection.close_code, connection.close_reason))
            for call in (connection.recv, connection.recv, lambda: connection.send("x"), lambda: connection.recv(1)):
                try:
                    await call()
                except WebSocketExit as error:
                    tell("exit", error)
            await connection.exit()
            await connection.ping()
            connection.subscribe("room")
            told.put((connection.close_code, connection.close_reason))
            await connection.recv()

    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        assert told.get(timeout=DEADLINE) == (None, None)
        client.close_cleanly(3999, "grüße")
    text = "the connection has ended with 3999: grüße"
    assert [told.get(timeout=DEADLINE) for _ in range(4)] == [("exit", 3999, "grüße", text)] * 4
    assert told.get(timeout=DEADLINE) == (3999, "grüße")
    assert ends.next().close_code == 3999
    assert not [record for record in records.records if record.levelname in ("ERROR", "WARNING")], records.texts()


def test_exit_is_an_exception_of_its_own():
    assert issubclass(WebSocketExit, Exception)
    assert not issubclass(WebSocketExit, OSError)
    assert (WebSocketExit().code, WebSocketExit().reason) == (1006, "")


# --- exit and ping


@every_style
def test_exit_with_code_and_reason(serve, style):
    def answer(connection, message):
        code, _, reason = message.text.partition(" ")
        done = connection.exit(int(code), reason) if code else connection.exit()
        if done is not None:
            done.close()  # begun when it is awaited; here it is called without a loop's help
            connection._connection.exit(int(code), reason) if code else connection._connection.exit()

    made = websocket(style, answer)
    ends = Ends(made)
    running = serve({"/ws": made})
    for said, heard in [
        ("", (1000, "")),
        ("1000 done", (1000, "done")),
        ("1001 ", (1001, "")),
        ("1013 later", (1013, "later")),
        ("3000 grüße", (3000, "grüße")),
        ("4999 " + "x" * 123, (4999, "x" * 123)),
    ]:
        with WebSocketClient(running.address) as client:
            client.send_message(said)
            assert client.receive_close_and_end() == heard
        end = ends.next()
        assert (end.close_code, end.close_reason) == heard


def handler_that(style: str, act) -> WebSocket:
    """`act(call)` runs in a handler; `call(name, *arguments)` calls the connection, whichever kind it is."""
    made = WebSocket()
    if style == BLOCKING:
        made.on_connection(lambda connection: act(lambda name, *given: getattr(connection, name)(*given)))
        return made

    @made.on_connection
    async def awaiting(connection):
        loop = asyncio.get_running_loop()

        async def perform(name, given):
            done = getattr(connection, name)(*given)
            return await done if asyncio.iscoroutine(done) else done

        def call(name, *given):
            return asyncio.run_coroutine_threadsafe(perform(name, given), loop).result(DEADLINE)

        await loop.run_in_executor(None, act, call)

    return made


WRONG = [
    ("exit", (1005,), ValueError, "3000 to 4999, not 1005"),
    ("exit", (1006,), ValueError, "not 1006"),
    ("exit", (1010,), ValueError, "not 1010"),
    ("exit", (0,), ValueError, "not 0"),
    ("exit", (-1,), ValueError, "not -1"),
    ("exit", (5000,), ValueError, "not 5000"),
    ("exit", (70_000,), ValueError, "not 70000"),
    ("exit", (10**30,), ValueError, "3000 to 4999"),
    ("exit", (1000, "é" * 62), ValueError, "123 bytes"),
    ("exit", ("1000",), TypeError, "code"),
    ("exit", (1000, b"bytes"), TypeError, "reason"),
    ("ping", (b"x" * 126,), ValueError, "125 bytes"),
    ("ping", (1,), TypeError, "payload"),
    ("send", (1,), TypeError, "a message is str (text) or bytes (binary), not int"),
    ("send", (None,), TypeError, "not None"),
    ("send", ({"a": 1},), TypeError, "not dict"),
    ("send", (["a"],), TypeError, "not list"),
    ("send", ("\ud800",), ValueError, "surrogates"),
    ("subscribe", (1,), TypeError, "topic"),
    ("recv", (-1,), ValueError, "timeout"),
    ("recv", (float("nan"),), ValueError, "timeout"),
    ("recv", ("soon",), TypeError, ""),
]


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_wrong_values_are_told_and_end_nothing(serve, style):
    problems: queue.Queue = queue.Queue()

    def act(call):
        for name, given, kind, text in WRONG:
            try:
                call(name, *given)
                problems.put(f"{name}{given!r} passed")
            except (TypeError, ValueError) as error:
                if not isinstance(error, kind) or text not in str(error):
                    problems.put(f"{name}{given!r}: {type(error).__name__}: {error}")
        call("send", "still open")

    with WebSocketClient(serve({"/ws": handler_that(style, act)}).address) as client:
        assert client.receive_message() == "still open"
        assert client.receive_close_and_end() == (1000, "")
    assert list(problems.queue) == []


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_ping(serve, style):
    def act(call):
        call("ping")
        call("ping", b"\0" * 125)
        call("send", "behind")

    with WebSocketClient(serve({"/ws": handler_that(style, act)}).address) as client:
        assert client.receive_frame() == (PING, b"")
        assert client.receive_frame() == (PING, b"\0" * 125)
        client.send(frame(PONG, b""))
        assert client.receive_message() == "behind"


# --- attributes of a connection


@every_style
def test_request_and_subprotocol(serve, style):
    def answer(connection, message):
        request = connection.request
        assert request is connection.request
        assert isinstance(request, Request)
        known = [request.method, request.url, request.params, request.cookies, request.headers["x-mood"]]
        return json.dumps([*known, connection.subprotocol, request.address[0], request.version])

    made = websocket(style, answer, subprotocols=["v2", "v1"])
    running = serve({"/ws": made})
    headers = {"X-Mood": "good", "Cookie": "a=1; b=2", "Sec-WebSocket-Protocol": "v0, v1, v2"}
    with WebSocketClient(running.address, "/ws/deeper/gr%C3%BC%C3%9Fe?x=1", headers) as client:
        assert client.answer.header("Sec-WebSocket-Protocol") == "v2"
        known = ["GET", "/ws/deeper/grüße", {"x": "1"}, {"a": "1", "b": "2"}, "good"]
        assert client.send_message("?").receive_json() == [*known, "v2", "127.0.0.1", "HTTP/1.1"]
    headers["Sec-WebSocket-Protocol"] = "v3"
    with WebSocketClient(running.address, headers=headers) as client:
        assert client.answer.header("Sec-WebSocket-Protocol") is None
        assert client.send_message("?").receive_json()[5] is None


@every_style
def test_open_ones_are_among_the_active_requests(serve, style):
    running = serve({"/ws": websocket(style)})

    def open_ones():
        return sorted(request.url for request in running.server._active_requests)

    with WebSocketClient(running.address, "/ws/1") as first, WebSocketClient(running.address, "/ws/2") as second:
        first.send_message("x").receive_message()
        second.send_message("x").receive_message()
        assert open_ones() == ["/ws/1", "/ws/2"]
        first.close_cleanly()
        wait_until(lambda: open_ones() == ["/ws/2"])
        second.reset()
        wait_until(lambda: open_ones() == [])


def test_representations(serve):
    shown: queue.Queue = queue.Queue()
    made = WebSocket(max_message=5, deflate=True)
    assert repr(made) == "WebSocket(max_message=5, deflate=True)"
    made.on_exit(lambda connection: shown.put(repr(connection)))
    made.on_open(lambda connection: shown.put(repr(connection)))
    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.close_cleanly(4000)
    assert shown.get(timeout=DEADLINE) == 'WebSocketConnection("/ws", open)'
    assert shown.get(timeout=DEADLINE) == 'WebSocketConnection("/ws", closed with 4000)'


# --- requests that open no WebSocket


@every_style
def test_a_request_that_is_no_upgrade(serve, style):
    running = serve({"/ws": websocket(style)})
    answer = running.fetch("/ws")
    assert (answer.status, answer.header("Upgrade")) == (426, "websocket")
    assert answer.header("Sec-WebSocket-Version") == "13"
    for changes, status in [
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Upgrade": "h2c"}, 426),
        ({"Sec-WebSocket-Key": ""}, 400),
        ({"Sec-WebSocket-Key": "short"}, 400),
    ]:
        with WebSocketClient(running.address, headers=changes) as client:
            assert client.answer.status == status, changes
    running.server.set_errorhandler(426, lambda request, message=None: "a page of one's own")
    assert running.fetch("/ws").text == "a page of one's own"


def test_an_upgrade_of_another_route_is_a_request(serve):
    with WebSocketClient(serve(lambda request: request.headers["upgrade"]).address, "/") as client:
        assert (client.answer.status, client.answer.text) == (200, "websocket")


# --- several servers


@every_style
def test_one_websocket_on_several_routes_and_servers(serve, style):
    made = websocket(style, lambda connection, message: f"{connection.request.url} {message.text}")
    first, second = serve({"/a": made, "/b": made}), serve({"/c": made})
    places = [(first, "/a"), (first, "/b"), (second, "/c")]
    clients = [WebSocketClient(running.address, path) for running, path in places]
    for client, (_, path) in zip(clients, places, strict=True):
        assert client.send_message("x").receive_message() == f"{path} x"
    second.server.terminate()
    assert clients[2].receive_close_and_end() == (1001, "the server stops")
    second.wait_for_return()
    assert clients[0].send_message("still").receive_message() == "/a still"
    for client in clients:
        client.close()


def test_names_at_the_top():
    names = (
        "WebSocket",
        "WebSocketConnection",
        "AsyncWebSocketConnection",
        "WebSocketExit",
        "TextMessage",
        "BinaryMessage",
    )
    assert set(names) <= set(outside.__all__)
    assert all(hasattr(outside, name) for name in names)
