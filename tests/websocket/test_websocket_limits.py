"""Options of a WebSocket and the dangers that they bound: origins, threads, and clients that do not read."""

from __future__ import annotations

import os
import queue
import threading

import pytest

from outside import WebSocket, WebSocketExit
from support.gauge import need_proc
from support.harness import wait_until
from support.names import steady
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, STYLES, Ends, websocket
from support.websocket_wire import BINARY, TEXT, WebSocketClient, close_frame, frame
from support.wire import DEADLINE, request_bytes

every_style = pytest.mark.parametrize("style", STYLES)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"max_message": 0}, ValueError, "max_message is a number of bytes above 0, not 0"),
        ({"max_message": -1}, ValueError, "max_message"),
        ({"max_message": "1"}, TypeError, "max_message"),
        ({"max_queue": 0}, ValueError, "max_queue"),
        ({"ping_interval": 0}, ValueError, "ping_interval is a number of seconds above 0"),
        ({"ping_interval": float("nan")}, ValueError, "ping_interval"),
        ({"ping_interval": 1e300}, ValueError, "ping_interval"),
        ({"ping_timeout": -1}, ValueError, "ping_timeout"),
        ({"ping_timeout": None}, TypeError, "ping_timeout"),
        ({"ping_timeout": float("inf")}, ValueError, "ping_timeout"),
        ({"when_full": "explode"}, ValueError, "when_full is 'wait', 'drop_oldest' or 'close', not \"explode\""),
        ({"deflate": "yes"}, TypeError, "deflate"),
        ({"origins": ["example.com"]}, ValueError, '"https://example.com"'),
        ({"origins": 5}, TypeError, "origins is a str or a list of str, not int"),
        ({"origins": [None]}, TypeError, "origins is a str or a list of str; NoneType is among them"),
        ({"subprotocols": ["a b"]}, ValueError, "token"),
        ({"subprotocols": [""]}, ValueError, "token"),
        ({"subprotocols": ["a\r\nb"]}, ValueError, "token"),
        ({"subprotocols": [b"bytes"]}, TypeError, "subprotocols is a str or a list of str"),
        ({"subprotocol": ["v1"]}, TypeError, "subprotocol"),
    ],
    ids=str,
)
def test_wrong_options_are_told_where_they_are_written(options, kind, text):
    with pytest.raises(kind) as caught:
        WebSocket(**options)
    assert text in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


@pytest.mark.parametrize("name", ["on_connection", "on_message", "on_open", "on_exit"])
@pytest.mark.parametrize("given", [None, 1, "name", object()], ids=steady)
def test_a_handler_is_a_function(name, given):
    with pytest.raises(TypeError, match="a handler is a function, not"):
        getattr(WebSocket(), name)(given)


# --- origins


@every_style
def test_origins(serve, records, style):
    """Those of the server itself unless told otherwise; a refusal comes before the handler and tells how to allow it."""
    opened: queue.Queue = queue.Queue()

    def made(**options):
        one = websocket(style, **options)
        one.on_open(lambda connection: opened.put(connection.request.headers.get("Origin")))
        return one

    routes = {
        "/same": made(),
        "/list": made(origins=["https://example.com", "http://localhost:3000"]),
        "/one": made(origins="https://example.com"),
        "/all": made(origins="*"),
        "/none": made(origins=[]),
    }
    running = serve(routes)
    own = f"http://{running.address[0]}:{running.address[1]}"
    host = own[7:]
    for path, origin, allowed in [
        ("/same", "", True),
        ("/same", own, True),
        ("/same", own.upper().replace("HTTP", "http"), True),
        ("/same", "https://example.com", False),
        ("/same", "http://" + running.address[0], False),
        ("/same", own + ".example.com", False),
        ("/same", "null", False),
        ("/same", "http://user@" + host, False),
        ("/list", "https://example.com", True),
        ("/list", "HTTPS://EXAMPLE.COM:443", True),
        ("/list", "http://localhost:3000", True),
        ("/list", "http://localhost:3001", False),
        ("/list", "http://example.com", False),
        ("/list", "https://example.com.evil.example", False),
        ("/list", own, False),
        ("/list", "", True),
        ("/one", "https://example.com", True),
        ("/one", "https://example.org", False),
        ("/all", "https://evil.example", True),
        ("/all", "null", True),
        ("/none", own, False),
        ("/none", "", True),
    ]:
        headers = {"Host": host, "Origin": origin}
        with WebSocketClient(running.address, path, headers) as client:
            assert client.answer.status == (101 if allowed else 403), (path, origin)
            if allowed:
                assert opened.get(timeout=DEADLINE) == (origin or None)
                client.close_cleanly()
    running.stop()
    assert opened.empty()
    text = records.wait_for("https://example.com.evil.example").getMessage()
    assert "/list" in text
    assert 'origins=["https://example.com.evil.example"]' in text


def test_the_page_of_a_refused_origin_is_ones_own(serve):
    running = serve({"/ws": WebSocket()})
    running.server.set_errorhandler(403, lambda request, message=None: "not from there")
    with WebSocketClient(running.address, headers={"Origin": "https://evil.example"}) as client:
        assert (client.answer.status, client.answer.text) == (403, "not from there")
        # The connection is an ordinary one and may go on.
        client.send(request_bytes("/nowhere"))
        assert client.receive_answer().status == 404


# --- max_websockets


def test_max_websockets(serve, records):
    """A blocking handler has a thread; beyond the limit a client gets 503. Other styles are not counted."""
    made, more = websocket(BLOCKING), websocket(CALLBACKS)
    ends = Ends(made)
    running = serve({"/ws": made, "/callbacks": more, "/async": websocket(ASYNC)}, max_websockets=3)
    clients = [WebSocketClient(running.address) for _ in range(3)]
    assert [client.send_message("x").receive_message() for client in clients] == ["x"] * 3
    with WebSocketClient(running.address) as late:
        assert late.answer.status == 503
    records.wait_for("max_websockets")
    for path in ("/callbacks", "/async"):
        with WebSocketClient(running.address, path) as client:
            assert client.send_message("x").receive_message() == "x"
    clients.pop().close_cleanly()
    ends.next()

    def opens():
        with WebSocketClient(running.address) as client:
            return client.is_open and client.send_message("x").receive_message() == "x"

    wait_until(opens, "a place is free again")
    for client in clients:
        client.close()


# --- clients that do not read


def stuffed(serve, made: WebSocket) -> WebSocketClient:
    """A client with a small window that has opened the route and reads nothing."""
    running = serve({"/ws": made})
    return WebSocketClient(running.address)


@pytest.mark.timed
@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_send_waits_while_the_queue_is_full(serve, style):
    sent, made = [], WebSocket(max_queue=100_000)
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            for number in range(400):
                connection.send(b"%6d" % number + b"x" * 50_000)
                sent.append(number)

    else:

        @made.on_connection
        async def awaiting(connection):
            for number in range(400):
                await connection.send(b"%6d" % number + b"x" * 50_000)
                sent.append(number)

    with stuffed(serve, made) as client:
        wait_until(lambda: sent)
        stalled = threading.Event()
        before = -1
        while len(sent) != before:  # until it makes no progress for a while
            before = len(sent)
            stalled.wait(0.3)
        assert before < 400
        assert [int(client.receive_message()[:6]) for _ in range(400)] == list(range(400))
        assert client.receive_close_and_end() == (1000, "")


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_send_ends_waiting_when_the_client_leaves(serve, style):
    made = WebSocket(max_queue=1000)
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            while True:
                connection.send(b"x" * 50_000)

    else:

        @made.on_connection
        async def awaiting(connection):
            while True:
                await connection.send(b"x" * 50_000)

    ends = Ends(made)
    with stuffed(serve, made) as client:
        client.receive_some()
        client.reset()
        assert ends.next().close_code == 1006


def test_drop_oldest(serve):
    made = WebSocket(max_queue=200_000, when_full="drop_oldest")

    @made.on_connection
    def many(connection):
        for number in range(2000):
            connection.send(b"%6d" % number + b"x" * 10_000)

    ends = Ends(made)
    with stuffed(serve, made) as client:
        assert ends.next().close_code == 1000  # no client waited
        numbers = []
        while (received := client.receive_frame())[0] == BINARY:
            numbers.append(int(received[1][:6]))
        assert received[0] == 8
    assert numbers == sorted(numbers)
    assert numbers[-10:] == list(range(1990, 2000))
    assert len(numbers) < 2000


@pytest.mark.parametrize("style", [BLOCKING, ASYNC])
def test_close_when_full(serve, style):
    made, told = WebSocket(max_queue=200_000, when_full="close"), queue.Queue()
    if style == BLOCKING:

        @made.on_connection
        def plain(connection):
            try:
                while True:
                    connection.send(b"x" * 10_000)
            except Exception as error:
                told.put(error)
                raise

    else:

        @made.on_connection
        async def awaiting(connection):
            try:
                while True:
                    await connection.send(b"x" * 10_000)
            except Exception as error:
                told.put(error)
                raise

    with stuffed(serve, made) as client:
        error = told.get(timeout=DEADLINE)
        assert (type(error).__name__, error.code) == ("WebSocketExit", 1013)
        while (received := client.receive_frame())[0] == BINARY:
            pass
        assert received[1][:2] == (1013).to_bytes(2, "big")


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.parametrize("headers", [{}, {"Sec-WebSocket-Extensions": "permessage-deflate"}], ids=["plain", "deflate"])
@pytest.mark.timed
def test_a_callback_never_waits_on_a_thread(serve, headers):
    """Its client is not read until the queue has room; then all that it has said is answered, in order."""
    need_proc()
    made = websocket(CALLBACKS, max_queue=100_000, deflate=True)
    running = serve({"/ws": made, "/idle": lambda request: str(threads())}, max_workers=2)
    running.server.set_route("/blocking", lambda request: "a thread was free", blocking=True)
    before = int(running.fetch("/idle").text)
    noise = os.urandom(20_000)
    clients, sent = [WebSocketClient(running.address, headers=headers, window=4096) for _ in range(12)], {}
    for client in clients:
        sent[client] = send_until_stuck(client, noise)
    assert running.fetch("/blocking").text == "a thread was free"
    assert int(running.fetch("/idle").text) - before <= 2
    for client in clients[1:]:
        client.reset()
    first = clients[0]
    first.socket.settimeout(DEADLINE)
    for number in range(sent[first]):
        if headers:
            first.skip_frame()
        else:
            assert first.receive_message() == b"%6d" % number + noise
    first.close()


def send_until_stuck(client: WebSocketClient, noise: bytes) -> int:
    """Sends numbered messages until the server has not taken one for a while; how many were sent."""
    client.socket.settimeout(0.1)
    for number in range(2000):
        data = frame(BINARY, b"%6d" % number + noise)
        while data:
            try:
                data = data[client.socket.send(data) :]
            except TimeoutError:
                return number
    raise AssertionError("the server never stops to read")


def test_messages_before_a_close_are_handled(serve):
    """A client that reads nothing says much and closes: its callback hears all of it."""
    heard: queue.Queue = queue.Queue()

    def answer(connection, message):
        heard.put(message)
        return b"x" * 50_000

    made = websocket(CALLBACKS, answer, max_queue=100_000)
    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send(b"".join(frame(TEXT, str(number).encode()) for number in range(300)) + close_frame(4001))
        for _ in range(300):
            assert client.receive_message() == b"x" * 50_000
        assert client.receive_close() == (4001, "")
    assert ends.next().close_code == 4001
    assert [heard.get_nowait().text for _ in range(300)] == [str(number) for number in range(300)]


def test_a_callback_does_not_wait_for_another_client(serve):
    """A message to a client that reads too slowly ends its connection, as a published message does."""
    opened: queue.Queue = queue.Queue()
    made = WebSocket(max_queue=100_000)
    made.on_open(opened.put)
    ends = Ends(made)

    def answer(connection, message):
        try:
            slow.send(b"x" * 50_000)
        except WebSocketExit as exit:
            return str(exit.code)
        return "sent"

    running = serve({"/ws": made, "/others": websocket(CALLBACKS, answer)}, max_workers=1)
    with WebSocketClient(running.address, window=4096) as client, WebSocketClient(running.address, "/others") as other:
        slow = opened.get(timeout=DEADLINE)
        wait_until(lambda: other.send_message("go").receive_message() == "1013", "the slow one is left")
        client.reset()
    assert ends.next() is slow


@pytest.mark.timed
def test_an_async_handler_waits_for_any_room(serve):
    """A message of more than half of the queue, behind a small one: the loop of all async handlers goes on."""
    made = websocket(ASYNC, lambda connection, message: b"x" * (30_000 if message.is_text else 80_000), max_queue=100_000)

    async def other(request):
        return "others go on"

    running = serve({"/ws": made, "/other": other})
    with WebSocketClient(running.address, deadline=0.5) as client:
        both = (frame(TEXT, b"small") + frame(BINARY, b"large")) * 100
        try:
            for _ in range(10):
                client.socket.sendall(both)
        except TimeoutError:
            pass
        assert running.fetch("/other").text == "others go on"


@pytest.mark.timed
@every_style
def test_messages_wait_with_the_client_while_the_handler_is_busy(serve, style):
    """The server reads no further than its bounded queue; the rest is the client's to keep."""
    release, first = threading.Event(), threading.Event()

    def slow(connection, message):
        first.set()
        release.wait(DEADLINE)
        return str(len(message))

    with WebSocketClient(serve({"/ws": websocket(style, slow, max_message=100_000)}).address, deadline=1) as client:
        client.send_message("x")
        assert first.wait(DEADLINE)
        sent = 0
        data = frame(BINARY, b"y" * 100_000)
        try:
            for _ in range(1000):
                client.socket.sendall(data)
                sent += 1
        except TimeoutError:
            pass
        release.set()
        assert sent < 1000
        client.socket.settimeout(DEADLINE)
        assert client.receive_message() == "1"
        assert [client.receive_message() for _ in range(sent)] == ["100000"] * sent
