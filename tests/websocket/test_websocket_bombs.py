"""Frames and messages that are meant to hurt (RFC 6455 section 10.4): the right code, little memory, little time."""

from __future__ import annotations

import zlib

import pytest

from outside import WebSocket
from support.gauge import MIB, cpu_seconds, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import PROGRAMS, Script
from support.websocket_styles import ASYNC, BLOCKING, CALLBACKS, STYLES, websocket
from support.websocket_wire import BINARY, OPENING, PING, PONG, TEXT, WebSocketClient, close_frame, frame
from support.wire import DEADLINE, Wire, request_bytes

every_style = pytest.mark.parametrize("style", STYLES)


@every_style
def test_max_message(serve, style):
    running = serve({"/ws": websocket(style, max_message=1000)})
    for pieces, passes in [
        ([1000], True),
        ([1001], False),
        ([500, 500], True),
        ([500, 501], False),
        ([1, 999, 0, 0], True),
        ([1000, 0, 1], False),
    ]:
        with WebSocketClient(running.address) as client:
            for number, size in enumerate(pieces):
                last = number == len(pieces) - 1
                client.send_if_possible(frame(0 if number else BINARY, b"x" * size, last=last))
            if passes:
                assert client.receive_message() == b"x" * sum(pieces)
            else:
                assert client.receive_close()[0] == 1009


def head_of(length: int, masked: bool = True) -> bytes:
    """The first bytes of a frame that announces so much, and its key."""
    return bytes([0x82, masked << 7 | 127]) + length.to_bytes(8, "big") + b"key!" * masked


BOMBS = [
    ("2 to the 63", head_of(1 << 63), 1002),
    ("as long as can be", head_of((1 << 63) - 1), 1009),
    ("4 GiB announced", head_of(1 << 32), 1009),
    ("a byte too much announced", head_of((1 << 20) + 1), 1009),
    ("unmasked", frame(TEXT, b"hello", masked=False), 1002),
    ("a ping of 126 bytes", frame(PING, b"x" * 126), 1002),
    ("a ping of 4 GiB", bytes([0x80 | PING, 0xFF]) + (1 << 32).to_bytes(8, "big"), 1002),
    ("a fragmented ping", frame(PING, b"x", last=False), 1002),
    ("a continuation of nothing", frame(0, b"x"), 1002),
    ("a message within a message", frame(TEXT, b"x", last=False) + frame(TEXT, b"y"), 1002),
    ("a reserved bit", frame(TEXT, b"x", reserved=4), 1002),
    ("an unknown opcode", frame(11), 1002),
    ("a close of one byte", frame(8, b"\x03"), 1002),
    ("a close that may not be sent", close_frame(1006), 1002),
    ("fragments without end", b"".join(frame(0 if n else TEXT, b"x" * 10_000, last=False) for n in range(110)), 1009),
]


@pytest.fixture(scope="module")
def script():
    """Servers whose memory and time can be measured: three styles of echo with 16 MiB and deflate, in one process."""
    need_proc()
    script = Script(str(PROGRAMS / "websocket_app.py"))
    yield script
    assert script.stop() == 0, script.errors


@pytest.mark.parametrize(("bomb", "code"), [bomb[1:] for bomb in BOMBS], ids=[bomb[0] for bomb in BOMBS])
@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_frame_bombs(serve, style, bomb, code):
    with WebSocketClient(serve({"/ws": websocket(style)}).address) as client:
        client.send_if_possible(bomb)
        assert client.receive_close()[0] == code


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_announced_lengths_cost_no_memory(script, style):
    """A hundred clients announce 16 MiB each and send ten bytes of it."""
    clients = [WebSocketClient(script.address, f"/{style}") for _ in range(100)]
    before = resident_memory(script.process.pid)
    for client in clients:
        client.send(head_of(16 << 20) + b"0123456789" + b"")
    with WebSocketClient(script.address, f"/{style}") as client:
        assert client.send_message("others go on").receive_message() == "others go on"
    for client in clients:
        client.close()
    assert resident_memory(script.process.pid) - before < 32 * MIB


@pytest.mark.timed
@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_empty_fragments_without_end(script, style):
    """A hundred thousand of them are one message that is not finished: no memory, and little time."""
    with WebSocketClient(script.address, f"/{style}") as client:
        before, spent = resident_memory(script.process.pid), cpu_seconds(script.process.pid)
        client.send(frame(TEXT, b"a", last=False))
        empty = frame(0, b"", last=False) * 10_000
        for _ in range(10):
            client.send(empty)
        client.send(frame(0, b"z"))
        assert client.receive_message() == "az"
        assert resident_memory(script.process.pid) - before < 8 * MIB
        assert cpu_seconds(script.process.pid) - spent < 2


@pytest.mark.timed
@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_a_flood_of_pings_of_a_client_that_does_not_read(script, style):
    with WebSocketClient(script.address, f"/{style}", deadline=1) as client:
        before = resident_memory(script.process.pid)
        pings = frame(PING, b"x" * 125) * 8_000
        try:
            for _ in range(40):
                client.socket.sendall(pings)
        except (TimeoutError, ConnectionError):
            pass  # the server reads no more, or is tired of it
        assert resident_memory(script.process.pid) - before < 16 * MIB
    with WebSocketClient(script.address, f"/{style}") as client:
        assert client.send_message("others go on").receive_message() == "others go on"


DEFLATE = {"Sec-WebSocket-Extensions": "permessage-deflate"}


@pytest.fixture
def fresh():
    """The same servers, before any test has made them grow."""
    need_proc()
    script = Script(str(PROGRAMS / "websocket_app.py"))
    yield script
    assert script.stop() == 0, script.errors


def send_unread(client: WebSocketClient, data: bytes) -> None:
    """Sends and does not read, but for some bytes where the two kernels wait for one another: while the small buffer of the client is
    full, Linux drops the server's segments together with their window, which stays closed for longer and longer."""
    rest = memoryview(data)
    client.socket.settimeout(1)
    reads = 0
    while rest:
        try:
            rest = rest[client.socket.send(rest) :]
        except TimeoutError:
            reads += 1
            assert reads < DEADLINE, f"the server does not read: {len(rest)} bytes are left"
            client.received += client.socket.recv(4096)
    client.socket.settimeout(DEADLINE)


def test_empty_pings_of_a_client_that_does_not_read(fresh):
    """Frames that wait for the client count with the memory that they take. Of many pings the latest is answered (RFC 6455 section 5.5.3)."""
    for style in (CALLBACKS, BLOCKING, ASYNC):
        for headers in ({}, DEFLATE):
            with WebSocketClient(fresh.address, f"/{style}", headers, window=4096) as client:
                forget_peak(fresh.process.pid)
                before = resident_memory(fresh.process.pid)
                send_unread(client, frame(PING) * 2_000_000 + frame(PING, b"the latest"))
                while (answer := client.receive_frame()) != (PONG, b"the latest"):
                    assert answer == (PONG, b"")
                assert peak_memory(fresh.process.pid) - before < 2 * MIB


@pytest.mark.timed
def test_small_messages_of_a_client_that_does_not_read(fresh):
    """An echo of one byte counts in `max_queue` with the memory that it takes; beyond it the client is not read."""
    for style in (CALLBACKS, BLOCKING):
        with WebSocketClient(fresh.address, f"/{style}", deadline=0.2, window=4096) as client:
            before = resident_memory(fresh.process.pid)
            messages = frame(TEXT, b"x") * 10_000
            try:
                for _ in range(300):
                    client.socket.sendall(messages)
            except TimeoutError:
                pass
            assert resident_memory(fresh.process.pid) - before < 4 * MIB


def deflated(data: bytes) -> bytes:
    """As RFC 7692 section 7.2.1 wants it."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert packed.endswith(b"\0\0\xff\xff")
    return packed[:-4]


@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_compressed_messages(serve, style):
    running = serve({"/ws": websocket(style, deflate=True), "/plain": websocket(style)})
    with WebSocketClient(running.address, headers=DEFLATE) as client:
        assert "permessage-deflate" in client.answer.header("Sec-WebSocket-Extensions")
        client.send(frame(TEXT, deflated(b"hello " * 100), reserved=4))
        while len(client.received) < 2:
            client.receive_some()
        assert client.received[0] == 0xC1
        packed = bytes(client.received[2 : 2 + client.received[1]])
        assert zlib.decompressobj(-15).decompress(packed + b"\0\0\xff\xff") == b"hello " * 100
        assert len(packed) < 60
    with WebSocketClient(running.address, "/plain", DEFLATE) as client:
        assert client.answer.header("Sec-WebSocket-Extensions") is None
        assert client.send_message("hello").receive_message() == "hello"


@pytest.mark.timed
@pytest.mark.parametrize("behind", [False, True], ids=["at once", "behind another message"])
@pytest.mark.parametrize("style", [BLOCKING, ASYNC, CALLBACKS])
def test_deflate_bombs(script, style, behind):
    """64 KiB that become 64 MiB: 1009, and never more memory than twice the limit of 16 MiB."""
    with WebSocketClient(script.address, f"/{style}", DEFLATE) as client:
        # Without it a message could refer to those before.
        assert "client_no_context_takeover" in client.answer.header("Sec-WebSocket-Extensions")
        if behind:
            client.send(frame(BINARY, deflated(b"\0" * 1000), reserved=4))
            client.skip_frame()
        bomb = deflated(b"\0" * (64 << 20))
        assert len(bomb) < 72 << 10
        forget_peak(script.process.pid)
        before, spent = resident_memory(script.process.pid), cpu_seconds(script.process.pid)
        client.send_if_possible(frame(BINARY, bomb, reserved=4))
        assert client.receive_close()[0] == 1009
        assert peak_memory(script.process.pid) - before < 32 * MIB
        assert cpu_seconds(script.process.pid) - spent < 2


def test_the_ratio_is_bounded_too(serve):
    """Far below its size limit a message may still be a bomb: much more than 1 MiB out of next to nothing."""
    running = serve({"/ws": websocket(CALLBACKS, max_message=1 << 30, deflate=True)})
    with WebSocketClient(running.address, headers=DEFLATE) as client:
        client.send_if_possible(frame(BINARY, deflated(b"\0" * (64 << 20)), reserved=4))
        code, _ = client.receive_close()
        assert code == 1009


def test_headers_of_the_handshake_are_limited(serve):
    """1 MiB of fields is cut at the limit of every request."""
    running = serve({"/ws": WebSocket()})
    fields = [*OPENING.items(), *((f"X-{number}", "x" * 1000) for number in range(1000))]
    with Wire(running.address) as wire:
        wire.send_if_possible(request_bytes("/ws", headers=fields))
        assert wire.receive_answer().status == 431
