"""What all WebSockets hold together is bounded (`max_unsent_mb`): beyond it the slowest client is cut, and the others go on.

Each client here keeps the bounds of its own connection. Freed memory goes back to the system.
"""

from __future__ import annotations

import contextlib
import json
import select
import threading

import pytest

from outside import WebSocket
from support.gauge import MIB, need_proc, resident_memory
from support.harness import PROGRAMS, Script, wait_until
from support.websocket_styles import STYLES, websocket
from support.websocket_wire import BINARY, WebSocketClient, frame

BUDGET = 4
CLIENTS = 12
# More than the buffers of the system take for a client with a small window, and less than `max_queue` and `max_message`.
LARGE = 900_000
WINDOW = 4096


@contextlib.contextmanager
def connected(address: tuple, count: int, path: str = "/ws"):
    """Clients that read nothing."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(WebSocketClient(address, path, window=WINDOW)) for _ in range(count)]


def cut(clients: list[WebSocketClient]) -> int:
    """The number of those whose connection was ended, although they have not read all."""
    poll = select.poll()
    for client in clients:
        poll.register(client.socket, select.POLLRDHUP)
    return len(poll.poll(0))


def answer(connection: object, message: bytes) -> bytes:
    """Much to read for a message of one byte."""
    return b"x" * (LARGE if len(message) == 1 else 1)


@pytest.mark.parametrize("style", STYLES)
def test_clients_that_read_nothing(serve, records, style):
    running = serve({"/ws": websocket(style, answer)}, max_unsent_mb=BUDGET)
    with WebSocketClient(running.address) as honest, connected(running.address, CLIENTS) as clients:
        for client in clients:
            client.send_message(b"1").send_message(b"2")
        records.wait_for("max_unsent_mb")
        wait_until(lambda: cut(clients), "a client to be cut")
        assert honest.send_message(b"hello").receive_message() == b"x"
        assert cut(clients) < CLIENTS


def test_messages_that_are_never_complete(serve, records):
    running = serve({"/ws": websocket(STYLES[0], answer)}, max_unsent_mb=BUDGET)
    with WebSocketClient(running.address) as honest, connected(running.address, CLIENTS) as clients:
        for client in clients:
            client.send_if_possible(frame(BINARY, b"x" * LARGE)[:-1])
        records.wait_for("max_unsent_mb")
        wait_until(lambda: cut(clients), "a client to be cut")
        assert honest.send_message(b"hello").receive_message() == b"x"


def test_messages_that_wait_for_their_handler(serve, records):
    busy, ends = WebSocket(), threading.Event()

    @busy.on_connection
    def wait(connection: object) -> None:
        ends.wait()

    running = serve({"/ws": busy, "/other": websocket(STYLES[2], answer)}, max_unsent_mb=BUDGET)
    with contextlib.ExitStack() as stack:
        stack.callback(ends.set)
        honest = stack.enter_context(WebSocketClient(running.address, "/other"))
        clients = stack.enter_context(connected(running.address, CLIENTS))
        for client in clients:
            for _ in range(3):
                client.send_if_possible(frame(BINARY, b"x" * (LARGE // 3)))
        records.wait_for("max_unsent_mb")
        wait_until(lambda: cut(clients), "a client to be cut")
        assert honest.send_message(b"hello").receive_message() == b"x"


def test_published_messages_count_once(serve, records):
    """Subscribers that are slow share the messages that wait for them: together more than the budget, if each had its own."""
    room = WebSocket()
    room.on_open(lambda connection: connection.subscribe("news"))
    running = serve({"/ws": room}, max_unsent_mb=BUDGET)
    with WebSocketClient(running.address) as quick, connected(running.address, CLIENTS) as slow:
        wait_until(lambda: running.server.listeners("news") == CLIENTS + 1, "all to have subscribed")
        for number in range(3):
            running.server.publish("news", b"%d" % number + b"x" * (LARGE // 3))
            assert quick.receive_message()[:1] == b"%d" % number
        for client in slow:
            assert [client.receive_message()[:1] for _ in range(3)] == [b"0", b"1", b"2"]
    assert not [text for text in records.texts() if "max_unsent_mb" in text]


def test_freed_memory_goes_back():
    """Many clients hold as much as each of them may; when they have gone, most of it is the system's again."""
    need_proc()
    script = Script(str(PROGRAMS / "attacked_app.py"), json.dumps({}))
    pid, before = script.process.pid, resident_memory(script.process.pid)
    with connected(script.address, 60, "/echo") as clients:
        for client in clients:
            client.send(frame(BINARY, b"x" * 20_000) * 60)
        wait_until(lambda: resident_memory(pid) - before > 50 * MIB, "the queues to be full")
    wait_until(lambda: resident_memory(pid) - before < 25 * MIB, "the memory to go back")
    assert script.stop() == 0, script.errors
