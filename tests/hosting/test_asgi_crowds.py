"""Many clients of ASGI applications at once: those that leave in the middle, and those that are there when the server ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import struct
import time

import pytest
from test_asgi_lifespan import program as program
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from outside import OutsideHTTP, asgi
from support.harness import Running, wait_until
from support.wire import Wire, fetch


def test_200_clients_leave_in_the_middle_of_a_stream():
    counts = {"begun": 0, "ended": 0}

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            raise RuntimeError("there is none")
        if scope["path"] == "/quick":
            await send({"type": "http.response.start", "status": 204})
            return await send({"type": "http.response.body"})
        counts["begun"] += 1
        try:
            await send({"type": "http.response.start", "status": 200})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 100, "more_body": True})
                await asyncio.sleep(0.002)
        finally:
            counts["ended"] += 1

    server = OutsideHTTP(("127.0.0.1", 0))
    server.config.update(access_log="off", termination_timeout=5)
    server.set_route("/", asgi(app))
    running = Running(server)
    wires = [running.wire() for _ in range(200)]
    for wire in wires:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    for wire in wires:
        wire.receive_some()
    for number, wire in enumerate(wires):
        if number % 2:  # by a reset
            wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.close()
    wait_until(lambda: counts == {"begun": 200, "ended": 200})
    assert running.fetch("/quick").status == 204
    running.stop()


SOCKETS = """
plain = application("app")
async def app(scope, receive, send):
    if scope["type"] != "websocket":
        return await plain(scope, receive, send)
    await receive()
    await send({"type": "websocket.accept"})
    say("socket:", (await receive())["code"])
server.set_route("/", asgi(app))
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_sigterm_with_100_event_streams_and_100_websockets(program, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    hidden = "sys.modules['uvloop'] = None\n" if loop == "asyncio" else ""
    script = program(hidden + SOCKETS)
    host, port = script.address
    streams = [Wire(script.address).send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n") for _ in range(100)]
    for stream in streams:
        while b"data: 1" not in stream.received:
            stream.receive_some()
    sockets = [connect(f"ws://{host}:{port}/") for _ in range(100)]
    assert fetch(script.address, "/").status == 200
    began = time.monotonic()
    script.process.send_signal(signal.SIGTERM)
    assert all(stream.receive_rest().endswith(b"0\r\n\r\n") for stream in streams)
    for client in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            client.recv()
        assert closed.value.rcvd.code in (1001, 1012)
    assert script.wait() == 0
    assert time.monotonic() - began < 6
    lines = script.output.splitlines()
    assert lines.count("event stream: http.disconnect") == 100
    assert sum(line.startswith("socket: ") for line in lines) == 100
    assert lines[-1] == "app ends"
