"""Answers that a client asks for and does not take: their memory is bounded, however they are made, and none of them is lost.

The attacks A1 and A2 of `soak/test_attacks.py`, with one client each; `crates/outside/tests/untaken` has more ways of making answers.
"""

from __future__ import annotations

import contextlib
import json
import select

import pytest

from support.attacks import HTTP2
from support.gauge import MIB, forget_peak, need_proc, peak_memory, resident_memory
from support.harness import PROGRAMS, Script
from support.wire import DEADLINE, Wire, fetch

h2 = pytest.importorskip("h2")

from h2.connection import H2Connection  # noqa: E402
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset  # noqa: E402
from h2.settings import SettingCodes  # noqa: E402

STREAMS = 100
# mallopt(3): with a fixed threshold the allocator keeps no large pieces, so that what is measured is what is held.
FIXED = {"MALLOC_MMAP_THRESHOLD_": "65536"}
QUIET = 0.3  # seconds without a byte, after which no answer is being made that the server makes without a taker
WAYS = {
    "async def": ("/async", b"", "identity"),
    "a parameter": ("/item/1", b"", "identity"),
    "content": ("/content", b"x" * 100, "identity"),
    "varying sizes": ("/varying", b"", "identity"),
    "zstd": ("/text", b"", "zstd"),
    "br": ("/text", b"", "br"),
    "gzip": ("/text", b"", "gzip"),
    "plain pieces": ("/plain_pieces", b"", "identity"),
    "async pieces": ("/async_pieces", b"", "identity"),
    "WSGI pieces": ("/wsgi/65536", b"", "identity"),
    "WSGI crumbs": ("/wsgi/1024", b"", "identity"),
    "ASGI pieces": ("/asgi/65536", b"", "identity"),
    "ASGI crumbs": ("/asgi/1024", b"", "identity"),
    "ASGI large pieces": ("/asgi/524288", b"", "identity"),
}


class Untaken(Wire):
    """A client of HTTP/2 whose windows are closed until it opens them."""

    def __init__(self, address: tuple) -> None:
        super().__init__(address)
        self.connection = H2Connection()
        self.connection.local_settings = type(self.connection.local_settings)(
            client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0, SettingCodes.ENABLE_PUSH: 0}
        )
        self.connection.initiate_connection()
        self.statuses: list[bytes] = []
        self.bytes = self.ended = self.resets = 0

    def ask(self, path: str, body: bytes, coding: str) -> None:
        fields = [(":method", "POST" if body else "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", path)]
        for stream in range(1, 2 * STREAMS, 2):
            self.connection.send_headers(stream, [*fields, ("accept-encoding", coding)], end_stream=not body)
            if body:
                self.connection.send_data(stream, body, end_stream=True)
        self.send(self.connection.data_to_send())

    def open_windows(self) -> None:
        self.connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 24})
        self.connection.increment_flow_control_window(1 << 30)
        self.send(self.connection.data_to_send())

    def take(self) -> bool:
        """What comes next; whether anything did."""
        self.received.clear()
        if not self.receive_some():
            return False
        for event in self.connection.receive_data(bytes(self.received)):
            if isinstance(event, ResponseReceived):
                self.statuses.append(dict(event.headers)[b":status"])
            elif isinstance(event, DataReceived):
                self.bytes += len(event.data)
            elif isinstance(event, StreamEnded | StreamReset):
                self.ended += 1
                self.resets += isinstance(event, StreamReset)
        self.send_if_possible(self.connection.data_to_send())
        return True


@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_answers_that_no_client_takes(way):
    need_proc()
    script = Script(str(PROGRAMS / "attacked_app.py"), json.dumps(HTTP2), environment=FIXED)
    pid, (path, body, coding) = script.process.pid, WAYS[way]
    for _ in range(3):
        # Threads and modules of the first answers.
        assert fetch(script.address, path, "POST" if body else "GET", {"Accept-Encoding": coding}, body).status == 200
    with Untaken(script.address) as client:
        before = resident_memory(pid)
        forget_peak(pid)
        client.ask(path, body, coding)
        while select.select([client.socket], [], [], QUIET)[0]:
            assert client.take()
        grown = (peak_memory(pid) - before) / MIB
        print(f"memory grew by {grown:.1f} MiB")
        assert grown < 12
        client.open_windows()
        while client.ended < STREAMS:
            assert client.take()
        assert (client.statuses, client.resets) == ([b"200"] * STREAMS, 0)
        assert client.bytes > STREAMS * 50_000
    assert script.stop() == 0, script.errors


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_the_budget_of_the_process_counts_pieces_of_hosted_applications(kind):
    """Beyond it the slowest connections are ended, although no single one holds too much."""
    need_proc()
    settings = {**HTTP2, "max_unsent_mb": 16, "max_unsent_per_connection_mb": 4, "max_workers": 300}
    script = Script(str(PROGRAMS / "attacked_app.py"), json.dumps(settings), environment=FIXED)
    pid, path = script.process.pid, f"/{kind}/65536"
    for _ in range(3):
        assert fetch(script.address, path).status == 200
    before = resident_memory(pid)
    forget_peak(pid)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Untaken(script.address)) for _ in range(8)]
        for client in clients:
            client.ask(path, b"", "identity")
        ended = 0
        while ended < 2:
            readable, _, _ = select.select([client.socket for client in clients], [], [], DEADLINE)
            assert readable, f"{ended} connections were ended"
            for client in [client for client in clients if client.socket in readable]:
                if not client.take():
                    clients.remove(client)
                    ended += 1
        grown = (peak_memory(pid) - before) / MIB
    print(f"memory grew by {grown:.1f} MiB")
    assert fetch(script.address, "/").text == "hello"
    # A thread of a WSGI application makes a piece while another of its pieces waits, and takes 25 KiB itself.
    beside = {"asgi": 24, "wsgi": 300 * (2 * 64 + 25) / 1024}[kind]
    assert grown < 16 + beside
    assert script.stop() == 0, script.errors
