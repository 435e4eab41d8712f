"""WebSockets as the contract names them, in every style of handler: messages and handlers, over raw frames."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
import time
import weakref

import pytest

from outside import (
    AsyncWebSocketConnection,
    BinaryMessage,
    TextMessage,
    WebSocket,
    WebSocketConnection,
)
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, STYLES, Ends, websocket
from support.websocket_wire import ACCEPT, BINARY, OPENING, PING, PONG, TEXT, WebSocketClient, frame
from support.wire import DEADLINE, Wire, request_bytes

every_style = pytest.mark.parametrize("style", STYLES)


# --- messages


@every_style
def test_echo_keeps_the_kind(serve, style):
    kinds: queue.Queue = queue.Queue()

    def echo(connection, message):
        kinds.put((type(message), message.is_text, isinstance(message, bytes)))
        return message

    running = serve({"/ws": websocket(style, echo)})
    with WebSocketClient(running.address) as client:
        assert client.answer.header("Sec-WebSocket-Accept") == ACCEPT
        for said in ("", "hello", "grüße 🌍", b"", b"\xff\0\x01", "x" * 125, b"y" * 126, "z" * 65535, b"w" * 65536):
            assert client.send_message(said).receive_message() == said
            expected = TextMessage if isinstance(said, str) else BinaryMessage
            assert kinds.get(timeout=DEADLINE) == (expected, expected is TextMessage, True)
        assert client.close_cleanly() == (1000, "")


@every_style
def test_the_largest_message(serve, style):
    with WebSocketClient(serve({"/ws": websocket(style)}).address) as client:
        said = bytes(range(256)) * 4096
        assert client.send_message(said).receive_message() == said


@every_style
def test_every_kind_of_data_is_sent(serve, style):
    given = [
        "text",
        b"bytes",
        bytearray(b"array"),
        memoryview(b"memory")[1:],
        TextMessage(b"text"),
        BinaryMessage(b"b"),
    ]
    expected = ["text", b"bytes", b"array", b"emory", "text", b"b"]
    running = serve({"/ws": websocket(style, lambda connection, message: given[int(message)])})
    with WebSocketClient(running.address) as client:
        for index, data in enumerate(expected):
            assert client.send_message(str(index)).receive_message() == data


@every_style
def test_fragments_and_frames_between_them(serve, style):
    """And all of it in one segment together with the handshake."""
    running = serve({"/ws": websocket(style)})
    with Wire(running.address) as wire:
        head = request_bytes("/ws", headers=OPENING)
        parts = frame(TEXT, b"gr\xc3", last=False) + frame(PING, b"?") + frame(0, b"\xbc\xc3\x9fe") + frame(BINARY, b"!")
        wire.send(head + parts)
        assert wire.receive_answer(interim=True).status == 101
        client = WebSocketClient.on(wire.socket)
        client.received = wire.received
        frames = sorted(client.receive_frame() for _ in range(3))
        assert frames == sorted([(PONG, b"?"), (TEXT, "grüße".encode()), (BINARY, b"!")])


@every_style
def test_messages_arrive_in_order(serve, style):
    with WebSocketClient(serve({"/ws": websocket(style)}).address) as client:
        client.send(b"".join(frame(TEXT, b"%d" % number) for number in range(3000)))
        assert [client.receive_message() for _ in range(3000)] == [str(number) for number in range(3000)]


def test_kinds_of_messages():
    text, binary = TextMessage("grüße".encode()), BinaryMessage(b"\xff")
    assert (text.is_text, text.text, text == "grüße".encode(), len(text)) == (True, "grüße", True, 7)
    assert (binary.is_text, binary[0], binary + b"x") == (False, 255, b"\xffx")
    with pytest.raises(UnicodeDecodeError):
        binary.text
    assert {text: 1}["grüße".encode()] == 1


# --- handlers


def test_the_echo_of_the_description(serve):
    def websocket_handler(connection):
        while True:
            message = connection.recv()
            connection.send(message)  # Echo back the message

    websocket_server = WebSocket()
    websocket_server.on_connection(websocket_handler)
    with WebSocketClient(serve({"/ws": websocket_server}).address) as client:
        assert client.send_message("hello").receive_message() == "hello"
        assert client.send_message(b"hello").receive_message() == b"hello"


def test_calls_and_decorators_give_the_function_back():
    made = WebSocket()
    for name in ("on_connection", "on_message", "on_open", "on_exit"):

        def function(*_):
            """Nothing."""

        assert getattr(made, name)(function) is function


def test_connection_handler_of_1_5_8(serve):
    made = WebSocket()
    assert made.connection_handler is None

    def first(connection):
        connection.send("first")

    def second(connection):
        connection.send("second")

    made.connection_handler = first
    assert made.connection_handler is first
    running = serve({"/ws": made})
    with WebSocketClient(running.address) as client:
        assert client.receive_message() == "first"
    made.on_connection(second)
    assert made.connection_handler is second
    with WebSocketClient(running.address) as client:
        assert client.receive_message() == "second"


def test_a_subclass(serve):
    class Room(WebSocket):
        def __init__(self, name, **options):
            super().__init__(max_message=10, **options)
            self.name = name
            self.on_connection(self.greet)

        def greet(self, connection):
            connection.send(self.name)
            connection.send(connection.recv())

    room = Room("lobby", subprotocols=["chat"])
    assert weakref.ref(room)() is room
    with WebSocketClient(serve({"/ws": room}).address, headers={"Sec-WebSocket-Protocol": "chat"}) as client:
        assert client.receive_message() == "lobby"
        assert client.answer.header("Sec-WebSocket-Protocol") == "chat"
        client.send_message("x" * 11)
        assert client.receive_close_and_end()[0] == 1009


def test_the_1_5_8_home():
    from outside import protocol_websocket

    assert protocol_websocket.WebSocket is WebSocket
    assert protocol_websocket.WebSocketConnection is WebSocketConnection


def test_without_handlers_a_connection_stays_open(serve):
    with WebSocketClient(serve({"/ws": WebSocket()}).address) as client:
        client.send_message("dropped").send(frame(PING, b"1"))
        assert client.receive_frame() == (PONG, b"1")
        assert client.close_cleanly() == (1000, "")


@every_style
def test_on_open_comes_first(serve, style):
    made = websocket(style)

    @made.on_open
    def greet(connection):
        connection.mood = "good"
        sent = connection.send("welcome")
        return sent  # to be awaited, in the asynchronous styles

    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send_message("hello")
        assert [client.receive_message(), client.receive_message()] == ["welcome", "hello"]


@every_style
def test_handlers_get_one_object_that_takes_attributes(serve, style):
    def count(connection, message):
        connection.count = getattr(connection, "count", 0) + 1
        weakref.ref(connection)
        return str(connection.count)

    made = websocket(style, count)
    ends = Ends(made)
    with WebSocketClient(serve({"/ws": made}).address) as client:
        assert [client.send_message("x").receive_message() for _ in range(3)] == ["1", "2", "3"]
    connection = ends.next()
    assert connection.count == 3
    expected = WebSocketConnection if style in (BLOCKING, CALLBACKS) else AsyncWebSocketConnection
    assert type(connection) is expected


def test_a_lambda_that_gives_a_coroutine(serve):
    """It cannot be told from a plain function; the coroutine is run, not lost."""
    told: queue.Queue = queue.Queue()

    async def put(what):
        told.put(what)

    made = WebSocket()
    made.on_open(lambda connection: put("open"))
    made.on_message(lambda connection, message: put(message))
    made.on_exit(lambda: put("exit"))
    with WebSocketClient(serve({"/ws": made}).address) as client:
        client.send_message("hello").close_cleanly()
    assert [told.get(timeout=DEADLINE) for _ in range(3)] == ["open", b"hello", "exit"]


def test_handlers_may_be_set_while_the_server_runs(serve):
    made = WebSocket()
    running = serve({"/ws": made})

    async def late(connection):
        await connection.send("late")

    made.on_connection(late)
    with WebSocketClient(running.address) as client:
        assert client.receive_message() == "late"
    running.server.set_route("/more", websocket(ASYNC))
    with WebSocketClient(running.address, "/more") as client:
        assert client.send_message("x").receive_message() == "x"
    running.server.remove_route("/more")
    with WebSocketClient(running.address, "/more") as client:
        assert client.answer.status == 404


@pytest.mark.timed
@every_style
def test_a_handler_that_sleeps_delays_no_other(serve, style):
    """Not even those of its own style, unless they are on the one loop that it holds."""
    release = threading.Event()

    def answer(connection, message):
        if message == b"sleep":
            release.wait(DEADLINE)
        return message

    running = serve({"/ws": websocket(style, answer), "/async": websocket(ASYNC), "/hello": lambda request: "hello"})
    others = [WebSocketClient(running.address) for _ in range(3)]
    if style not in (BLOCKING, CALLBACKS):
        others = [WebSocketClient(running.address, "/hello")]  # anything but the loop
    with WebSocketClient(running.address) as sleeper:
        sleeper.send_message("sleep")
        time.sleep(0)
        begun = time.monotonic()
        for client in others:
            if client.is_open:
                assert client.send_message("quick").receive_message() == "quick"
        assert running.fetch("/hello").text == "hello"
        assert time.monotonic() - begun < 2
        release.set()
        assert sleeper.receive_message() == "sleep"
    for client in others:
        client.close()


@pytest.mark.timed
@pytest.mark.parametrize("style", [ASYNC, "async callbacks"])
def test_awaiting_handlers_share_the_loop(serve, style):
    """A hundred that wait at the same time take as long as one."""
    made = WebSocket()

    async def message(connection, message):
        await asyncio.sleep(0.2)
        await connection.send(message)

    if style == ASYNC:

        @made.on_connection
        async def serve_one(connection):
            async for given in connection:
                await message(connection, given)
    else:
        made.on_message(message)
    running = serve({"/ws": made})
    clients = [WebSocketClient(running.address) for _ in range(100)]
    begun = time.monotonic()
    for client in clients:
        client.send_message("x")
    assert [client.receive_message() for client in clients] == ["x"] * 100
    assert time.monotonic() - begun < 5
    for client in clients:
        client.close()


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@every_style
def test_deep_json_in_every_style(serve, style):
    """Stacks are as large as those of Python's own main thread: `json` may recurse as far as it wants to."""

    def depth(connection, message):
        try:
            value, count = json.loads(message), 0
        except RecursionError:
            return "RecursionError"
        while value:
            value, count = value[0], count + 1
        return str(count + 1)

    with WebSocketClient(serve({"/ws": websocket(style, depth)}).address) as client:
        assert client.send_message(nested(900)).receive_message() == "900"
        assert client.send_message(nested(5000)).receive_message() in ("5000", "RecursionError")
        assert client.send_message(nested(400_000)).receive_message() in ("400000", "RecursionError")
        assert client.send_message("[]").receive_message() == "1"


def test_deep_json_in_handlers_of_requests(serve):
    """For comparison: the same on an HTTP route, plain and async."""

    async def later(request):
        return str(request.json() is None)

    running = serve({"/": lambda request: str(request.json() is None), "/async": later})
    for path in ("/", "/async"):
        assert running.fetch(path, "POST", body=nested(5000).encode()).text in ("True", "False")
