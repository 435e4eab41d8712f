"""Hosted applications for long, for many, and with much: the promises about memory and lost requests, in full."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.client_group import ClientGroup
from support.endurance import answer_length
from support.gauge import MIB, forget_peak, peak_memory, private_memory, proportional_memory, resident_memory
from support.harness import DEADLINE, Script
from support.hosted_load import Load
from support.run_command import OUTSIDE
from support.subprocesses import run_process
from support.websocket_wire import BINARY, OPENING, frame
from support.wire import Incomplete, Wire, parse_answer, request_bytes

PEERS = Path(__file__).parents[1] / "bench" / "peers"
GIB = 1024 * MIB
PIECE = b"y" * 65536

BIG = """\
import asyncio

PIECE = b"x" * 65536


def of_wsgi(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST":
        count = 0
        while piece := environ["wsgi.input"].read(65536):
            count += len(piece)
        start_response("200 OK", [])
        return [str(count).encode()]
    start_response("200 OK", [])
    return (PIECE for _ in range(int(environ["QUERY_STRING"] or 1)))


async def of_asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        raise RuntimeError("there is none")
    if scope["method"] == "POST":
        count, more = 0, True
        while more:
            event = await receive()
            count, more = count + len(event["body"]), event["more_body"]
        await send({"type": "http.response.start", "status": 200})
        return await send({"type": "http.response.body", "body": str(count).encode()})
    await send({"type": "http.response.start", "status": 200})
    for _ in range(int(scope["query_string"] or 1)):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body"})
"""


@contextmanager
def hosted(folder: Path, target: str, *options: str, environment: dict[str, str] | None = None) -> Iterator[Script]:
    arguments = ["run", target, "--port", "0", "--log", "off", *options]
    script = Script(*arguments, program=OUTSIDE, folder=folder, environment=environment)
    yield script
    assert script.stop() == 0, script.errors


@contextmanager
def on_uvicorn(target: str) -> Iterator[Script]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = (
        f"import threading, socket, time, uvicorn\n"
        f"def tell():\n"
        f"    while True:\n"
        f"        try: socket.create_connection(('127.0.0.1', {port})).close(); break\n"
        f"        except OSError: time.sleep(0.02)\n"
        f"    print('http://127.0.0.1:{port}', flush=True)\n"
        f"threading.Thread(target=tell, daemon=True).start()\n"
        f"uvicorn.run({target!r}, port={port}, loop='uvloop', lifespan='off', ws='none', access_log=False, log_level='warning')\n"
    )
    script = Script("-c", program, program=[sys.executable], folder=PEERS, environment={"PYTHONPATH": str(PEERS)})
    yield script
    script.stop()


def whole_length(address: tuple, request: bytes) -> int:
    """How many bytes every answer to this has, which may come in several pieces."""
    with Wire(address) as wire:
        wire.send(request)
        while wire.receive_some():
            try:
                parse_answer(bytes(wire.received))
            except Incomplete:
                continue
            return len(wire.received)
    raise AssertionError("no answer")


def memory_after_load(script: Script, target: str) -> int:
    """The proportional memory of a server that has answered 64 connections, which are open."""
    request = request_bytes(target)
    length = whole_length(script.address, request)
    with ClientGroup(script.address, 64) as group:
        for _ in range(50):
            group.ask(request, length)
        return proportional_memory(script.process.pid)


@pytest.mark.parametrize("target", ["wsgi_app:app", "asgi_app:app"])
def test_a_bare_application(target):
    with hosted(PEERS, target) as script:
        took = memory_after_load(script, "/hello")
    print(f"{target}: {took / MIB:.1f} MiB")
    assert took <= 30 * MIB


def test_fastapi_beside_uvicorn():
    pytest.importorskip("uvloop")
    with hosted(PEERS, "fastapi_app:app") as script:
        ours = memory_after_load(script, "/users/42")
    with on_uvicorn("fastapi_app:app") as script:
        theirs = memory_after_load(script, "/users/42")
    print(f"FastAPI: {ours / MIB:.1f} MiB, on uvicorn {theirs / MIB:.1f} MiB")
    assert ours <= theirs + 3 * MIB


# The memory of each of many WebSockets that an application holds, with a server that keeps nothing: one future for each.
ALONE = """\
import asyncio, gc, sys
from starlette_app import app

async def connection(number):
    has_begun, never = [], asyncio.get_running_loop().create_future()
    async def receive():
        if has_begun:
            return await never
        has_begun.append(True)
        return {"type": "websocket.connect"}
    async def send(event):
        pass
    headers = [(b"host", b"127.0.0.1:%d" % number), (b"upgrade", b"websocket"), (b"connection", b"upgrade")]
    scope = {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.5"}, "http_version": "1.1", "scheme": "ws", "path": "/ws",
        "raw_path": b"/ws", "query_string": b"", "root_path": "", "headers": headers, "client": ("127.0.0.1", number),
        "server": ("127.0.0.1", 80), "subprotocols": [], "state": {}, "extensions": {},
    }
    await app(scope, receive, send)

def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def main(count):
    tasks = [asyncio.create_task(connection(number)) for number in range(200)]
    await asyncio.sleep(0.1)
    before = resident()
    tasks += [asyncio.create_task(connection(number)) for number in range(count)]
    while sum(len(task.get_stack()) for task in tasks) < len(tasks):
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    assert not any(task.done() for task in tasks)
    print((resident() - before) // count)
    sys.stdout.flush()
    import os
    os._exit(0)

asyncio.run(main(4000))
"""


def alone() -> int:
    """The bytes that the application of `test_idle_websockets_of_starlette` takes for each WebSocket by itself."""
    environment = {**os.environ, "PYTHONPATH": str(PEERS)}
    return int(run_process([sys.executable, "-c", ALONE], env=environment, capture_output=True, text=True, check=True).stdout)


def test_idle_websockets_of_starlette():
    opening, message, echo = request_bytes("/ws", headers=OPENING), frame(BINARY, b"hello"), b"\x82\x05hello"
    with hosted(PEERS, "starlette_app:app") as script:
        with Wire(script.address) as wire:
            wire.send(opening)
            while b"\r\n\r\n" not in wire.received:
                wire.receive_some()
            length = len(wire.received)

        def say_hello(group: ClientGroup) -> None:
            group.wait_until(lambda client: len(client.received) >= length or client.ended, "open")
            group.ask(message, len(echo))

        with ClientGroup(script.address, 200, opening) as group:  # memory that grows only once has grown
            say_hello(group)
        before = private_memory(script.process.pid)
        count = 4000
        with ClientGroup(script.address, count, opening) as group:
            say_hello(group)
            each = (private_memory(script.process.pid) - before) / count
    own = alone()
    print(f"{each:.0f} bytes for each idle WebSocket of Starlette, {own} of them are the application's")
    # Eight KiB would be less than the application takes by itself.
    assert each - own <= 4 * 1024


@pytest.fixture
def big(tmp_path: Path) -> Path:
    (tmp_path / "big.py").write_text(BIG)
    return tmp_path


@pytest.mark.parametrize("interface", ["of_wsgi", "of_asgi"])
@pytest.mark.parametrize("slow", [False, True], ids=["fast", "slow"])
def test_a_gibibyte_down(big, interface, slow):
    with hosted(big, f"big:{interface}") as script:
        grown = _Growth(script)
        size = GIB // 8 if slow else GIB
        with Wire(script.address, deadline=60, window=65536 if slow else None) as wire:
            wire.send(request_bytes(f"/?{size // len(PIECE)}", headers={"Connection": "close"}))
            count, buffer = 0, bytearray(1 << 20)
            while received := wire.socket.recv_into(buffer):
                count += received
                if slow:
                    time.sleep(0.002)
        assert count > size
        print(f"memory grew by {grown.bytes() / MIB:.1f} MiB")
        assert grown.bytes() <= 4 * MIB


@pytest.mark.parametrize("interface", ["of_wsgi", "of_asgi"])
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_a_gibibyte_up(big, interface, chunked):
    with hosted(big, f"big:{interface}") as script:
        grown = _Growth(script)
        coding = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(GIB)}
        piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        with Wire(script.address, deadline=120) as wire:
            wire.send(request_bytes("/", "POST", coding))
            for _ in range(GIB // len(PIECE)):
                wire.socket.sendall(piece)
            wire.send(b"0\r\n\r\n" if chunked else b"")
            assert wire.receive_answer().text == str(GIB)
        print(f"memory grew by {grown.bytes() / MIB:.1f} MiB")
        assert grown.bytes() <= 4 * MIB


class _Growth:
    """How much more memory than now a server takes at most from now on; a short transfer each way comes before."""

    def __init__(self, script: Script) -> None:
        self.pid = script.process.pid
        with Wire(script.address) as wire:
            assert wire.send(request_bytes("/?32")).receive_answer().status == 200
            length = 4 << 20
            wire.send(request_bytes("/", "POST", {"Content-Length": str(length)})).send(b"y" * length)
            assert wire.receive_answer().text == str(length)
        forget_peak(self.pid)
        self.before = resident_memory(self.pid)

    def bytes(self) -> int:
        return peak_memory(self.pid) - self.before


@pytest.mark.parametrize("target", ["wsgi_app:app", "asgi_app:app"])
def test_ten_thousand_connections_on_eight_threads(target):
    with hosted(PEERS, target, "--threads", "8") as script:
        request = request_bytes("/hello")
        length = answer_length(script.address, request)
        with ClientGroup(script.address, 10_000, deadline=120) as group:
            for _ in range(5):
                group.ask(request, length, deadline=120)
            assert group.ended() == 0
        assert answer_length(script.address, request) == length


@pytest.mark.parametrize(("target", "path"), [("flask_app:app", "/hello"), ("fastapi_app:app", "/users/42")])
def test_reloads_during_a_hundred_thousand_requests(target, path):
    with hosted(PEERS, target) as script:
        loads = [Load(script.address, path, clients=6), Load(script.address, path, clients=2, fresh=True)]
        while (done := sum(load.count for load in loads)) < 100_000:
            script.process.send_signal(signal.SIGHUP)
            loads[0].wait_for(8000, seconds=10 * DEADLINE)
        for load in loads:
            load.stop()
        print(f"{target}: {done} requests, 0 lost")


def test_recycled_workers_lose_nothing_in_fifty_thousand_requests():
    with hosted(PEERS, "flask_app:app", "-w", "2", "--max-requests", "1000", "--max-requests-jitter", "200") as script:
        load = Load(script.address, "/hello", clients=6)
        load.wait_for(50_000, seconds=20 * DEADLINE)
        load.stop()
