"""One stream of HTTP/2 and its neighbours on the same connection, byte by byte: a fault or a slow handler of one is not theirs."""

from __future__ import annotations

import socket
import threading

import pytest

from support.harness import Records, Running
from support.wire import DEADLINE, Wire, request_bytes

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def field(name: bytes, value: bytes) -> bytes:
    """A literal field that is not indexed (RFC 7541 section 6.2.2)."""
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


def block(*more: bytes, method: bytes = b"GET", path: bytes = b"/") -> bytes:
    pseudo = {b":method": method, b":scheme": b"http", b":path": path, b":authority": b"a"}
    return b"".join(field(*item) for item in pseudo.items()) + b"".join(more)


class Client:
    """A connection that keeps the frames of each stream apart."""

    def __init__(self, running: Running, settings: bytes = b"") -> None:
        self.socket = socket.create_connection(running.address[:2], timeout=DEADLINE)
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.data = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *frames: bytes) -> Client:
        self.socket.sendall(b"".join(frames))
        return self

    def _next(self) -> tuple[int, int, int, bytes]:
        while len(self.data) < 9 or len(self.data) < 9 + int.from_bytes(self.data[:3], "big"):
            received = self.socket.recv(65536)
            assert received, "the server has closed the connection"
            self.data += received
        length = int.from_bytes(self.data[:3], "big")
        kind, flags, stream = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big")
        payload, self.data = self.data[9 : 9 + length], self.data[9 + length :]
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        assert kind != GOAWAY, f"GOAWAY: {payload!r}"
        return kind, flags, stream, payload

    def of(self, stream: int, *kinds: int) -> tuple[int, int, bytes]:
        """The next frame of this stream, of one of these kinds."""
        while True:
            for index, (kind, flags, number, payload) in enumerate(self.frames):
                if number == stream and kind in kinds:
                    del self.frames[index]
                    return kind, flags, payload
            self.frames.append(self._next())

    def content(self, stream: int) -> bytes:
        """The whole content of an answer."""
        whole = b""
        while True:
            kind, flags, payload = self.of(stream, HEADERS, DATA, RST_STREAM)
            assert kind != RST_STREAM, f"stream {stream} was reset: {payload!r}"
            whole += payload if kind == DATA else b""
            if flags & END_STREAM:
                return whole


@pytest.mark.parametrize(
    "malformed",
    [
        block(path=b"/?q=\xe9"),
        block(field(b"X-A", b"1")),
        block(field(b"", b"1")),
        block(field(b":foo", b"1")),
        block(field(b"x a", b"1")),
        block(field(b"x-a", b"a\r\nb: c")),
        block(field(b"connection", b"close")),
    ],
    ids=["path", "capitals", "empty", "pseudo", "space", "line end", "connection"],
)
def test_a_malformed_message_costs_its_stream_alone(serve, records: Records, malformed):
    go, begun = threading.Event(), threading.Event()

    def slow(request):
        begun.set()
        go.wait(DEADLINE)
        return "slow"

    running = serve({"/": lambda request: "there", "/slow": slow}, h2c=True, access_log="common")
    with Client(running) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(path=b"/slow")))
        assert begun.wait(DEADLINE)
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, malformed))
        assert client.of(3, RST_STREAM, HEADERS)[0] == RST_STREAM
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, block()))
        assert client.content(5) == b"there"
        go.set()
        assert client.content(1) == b"slow"
    records.wait_for(lambda record: " 400 0" in record.getMessage())


@pytest.mark.parametrize("style", ["plain", "async"])
def test_uploads_that_wait_hold_no_neighbour_up(serve, style):
    """Six handlers that do not read, and a seventh whose content is ten bytes (RFC 9113 section 5.2)."""
    go = threading.Event()

    def wait(request):
        go.wait(DEADLINE)
        return str(sum(len(piece) for piece in request.iter_body()))

    async def wait_later(request):
        import asyncio

        await asyncio.to_thread(go.wait, DEADLINE)
        length = 0
        async for piece in request.iter_body():
            length += len(piece)
        return str(length)

    running = serve({"/echo": lambda request: request.content}, h2c=True, body_stall_timeout=2)
    running.server.set_route("/wait", wait if style == "plain" else wait_later, streaming=True)
    with Client(running) as client:
        windows = {0: 65_535}
        for stream in range(1, 13, 2):
            windows[stream] = 65_535
            client.send(frame(HEADERS, END_HEADERS, stream, block(method=b"POST", path=b"/wait")))
            # As much as the windows allow: that of the connection must not be full afterwards.
            for _ in range(4):
                client.send(frame(DATA, 0, stream, b"x" * 10_000))
                windows[0] -= 10_000
                while windows[0] < 10_000:
                    windows[0] += int.from_bytes(client.of(0, WINDOW_UPDATE)[2], "big")
        client.send(frame(HEADERS, END_HEADERS, 13, block(method=b"POST", path=b"/echo")))
        client.send(frame(DATA, END_STREAM, 13, b"0123456789"))
        assert client.content(13) == b"0123456789"
        # They are not timed out for what the server does not take.
        threading.Event().wait(2.5)
        go.set()
        for stream in range(1, 13, 2):
            client.send(frame(DATA, END_STREAM, stream))
            assert client.content(stream) == b"40000"


@pytest.mark.parametrize("target", ['/a"b', "/a<b>c", "/a`b", '/?a="<b>`'])
def test_targets_are_those_of_http_1(serve, records: Records, target):
    running = serve(lambda request: f"{request.path} {request.query}", h2c=True, access_log="common")
    with Wire(running.address) as wire:
        first = wire.send(request_bytes(target)).receive_answer()
    with Client(running) as client:
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, block(path=target.encode())))
        assert client.content(1) == first.body
    assert first.status == 200
    records.wait_for(lambda record: "HTTP/2" in record.getMessage())
    lines = [text.split('"', 1)[1].rpartition(" HTTP")[0] for text in records.texts() if "GET" in text]
    assert len(lines) == 2 and lines[0] == lines[1]
