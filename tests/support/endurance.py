"""Checks that have to hold for long and for many, with the numbers as arguments: `make test` runs it short, `make soak` in full.

Every function starts the application of the tests of load in a process of its own, and measures that process from
outside. The figures that it returns are those worth reporting.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from support.client_group import ClientGroup, descriptors
from support.gauge import forget_peak, need_proc, peak_memory, private_memory, resident_memory
from support.harness import PROGRAMS, Script, wait_until
from support.websocket_wire import BINARY, OPENING, frame
from support.wire import Wire, request_bytes

GET = request_bytes("/")
PIECE = b"y" * 65536


@contextmanager
def served(**settings: object) -> Iterator[Script]:
    script = Script(str(PROGRAMS / "greedy_app.py"), json.dumps(settings))
    yield script
    assert script.stop() == 0, script.errors


def answer_length(address: tuple, request: bytes = GET) -> int:
    """How many bytes every answer to this has (a Date is always of the same length)."""
    with Wire(address) as wire:
        wire.send(request).receive_some()
        length = len(wire.received)
        assert wire.receive_answer().status == 200
    return length


def idle_connection_memory(count: int, *, together: int = 1) -> float:
    """Bytes of user space that one idle keep-alive connection costs which has done so many requests, all at once."""
    need_proc()
    with served() as script:
        pid = script.process.pid
        requests, length = GET * together, answer_length(script.address) * together
        with ClientGroup(script.address, 200) as group:  # memory that grows only once has grown
            group.ask(requests, length)
        before = private_memory(pid)
        with ClientGroup(script.address, count) as group:
            group.ask(requests, length)
            each = (private_memory(pid) - before) / count
            group.ask(requests, length)  # all are still there
    return each


def idle_websocket_memory(style: str, count: int) -> tuple[int, float]:
    """How many WebSockets were open at once, so many or as many as descriptors allow, and the bytes of user space that each
    of them costs while it rests after an echo."""
    need_proc()
    # The server keeps a fifth of its own for other things.
    count = min(count, descriptors() * 4 // 5 - 200)
    opening, message, echo = request_bytes(f"/{style}", headers=OPENING), frame(BINARY, b"hello"), b"\x82\x05hello"
    script = Script(str(PROGRAMS / "websocket_app.py"), "silent")
    with Wire(script.address) as wire:
        wire.send(opening)
        while b"\r\n\r\n" not in wire.received:
            wire.receive_some()
        length = len(wire.received)

    def say_hello(group: ClientGroup) -> None:
        group.wait_until(lambda client: len(client.received) >= length or client.ended, "open")
        group.ask(message, len(echo))

    with ClientGroup(script.address, 100, opening) as group:  # memory that grows only once has grown
        say_hello(group)
    before = private_memory(script.process.pid)
    with ClientGroup(script.address, count, opening) as group:
        say_hello(group)
        each = (private_memory(script.process.pid) - before) / count
        group.ask(message, len(echo))  # all are still there
        assert all(client.received == echo for client in group.clients)
    assert script.stop() == 0, script.errors
    return count, each


def growth_without_readers(target: str, together: int) -> int:
    """By how much memory grows at most when one client asks so many times at once and reads nothing but a beginning."""
    need_proc()
    with served() as script:
        grown = Growth(script)
        with Wire(script.address) as wire:
            wire.send(request_bytes(target) * together).receive_some()
            assert answer_length(script.address) > 0  # the server is at rest again
            return grown.bytes()


def many_at_once(count: int, rounds: int) -> None:
    """So many connections, each does so many requests, and all are answered."""
    with served() as script:
        length = answer_length(script.address)
        with ClientGroup(script.address, count) as group:
            for _ in range(rounds):
                group.ask(GET, length, deadline=120)
        assert answer_length(script.address) == length


def download_growth(target: str, size: int) -> int:
    """By how much memory grows at most while so many bytes are downloaded."""
    need_proc()
    with served() as script:
        grown = Growth(script)
        with Wire(script.address, deadline=60) as wire:
            wire.send(request_bytes(target, headers={"Connection": "close"}))
            count, buffer, last = 0, bytearray(1 << 20), b""
            while received := wire.socket.recv_into(buffer):
                count += received
                last = bytes(buffer[max(0, received - 5) : received])
        assert count > size
        assert target.startswith("/file") or last.endswith(b"\n")
        return grown.bytes()


def upload_growth(target: str, size: int, *, chunked: bool) -> int:
    """By how much memory grows at most while so many bytes are uploaded, and answered."""
    need_proc()
    with served(max_body_size_mb=2048) as script:
        grown = Growth(script)
        coding = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": str(size)}
        piece = b"%x\r\n%s\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        with Wire(script.address, deadline=60) as wire:
            wire.send(request_bytes(target, "POST", coding))
            for _ in range(size // len(PIECE)):
                wire.socket.sendall(piece)
            wire.send(b"0\r\n\r\n" if chunked else b"")
            answer = wire.receive_answer()
        assert answer.status == 200
        assert answer.text in ("ignored", str(size))
        return grown.bytes()


def tell_many(count: int, times: int) -> None:
    """So many readers of events; each is told everything, in order."""
    with served() as script, Wire(script.address, deadline=60) as wire:
        with ClientGroup(script.address, count, request_bytes("/events"), deadline=120) as group:
            group.wait_until(lambda client: b"\r\n\r\n" in client.received or client.ended, "listening", 120)

            def readers(*arguments: object, **options: object) -> int:
                return int(wire.send(request_bytes("/tell", *arguments, **options)).receive_answer().text)  # type: ignore[arg-type]

            wait_until(lambda: readers() == count, "all of them read")
            told = b""
            for number in range(times):
                event = b"data: %d\n\n" % number
                told += b"%x\r\n%s\r\n" % (len(event), event)
                assert readers("POST", body=str(number).encode()) == count
            group.wait_until(lambda client: client.received.endswith(told) or client.ended, "told", 120)
            assert not any(client.ended for client in group.clients)
        assert answer_length(script.address) > 0


class Growth:
    """How much more memory than now a server takes at most from now on."""

    def __init__(self, script: Script) -> None:
        self.pid = script.process.pid
        answer_length(script.address)
        forget_peak(self.pid)
        self.before = resident_memory(self.pid)

    def bytes(self) -> int:
        return peak_memory(self.pid) - self.before
