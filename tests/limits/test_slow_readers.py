"""Clients that read slowly or not at all: cut when nothing moves, kept while something does, and never in the way.

Bytes that have left the server may still lie in buffers of the kernel, so a client cannot see when it was cut: the access log
tells. No deadline is asserted closer than the server looks at them, every 100 ms.
"""

from __future__ import annotations

import json
import time

import pytest

from support.slow_readers import KINDS, SIZE, file, for_each_kind, read_slowly, read_the_rest, routes, wait_for_log_line  # noqa: F401 - fixtures
from support.wire import request_bytes

pytestmark = pytest.mark.timed

# The server looks at its deadlines every 100 ms; the rest is for a machine that has other things to do.
EARLY, LATE = 0.15, 2.0


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_that_stops_reading_is_cut(serve, records, routes, kind):
    running = serve(routes, write_stall_timeout=0.5, access_log="common")
    with running.wire() as wire:
        began = time.time()
        wire.send(request_bytes(f"/{kind}"))
        seconds = wait_for_log_line(records, f"/{kind}").created - began
        count, _ = read_the_rest(wire)
    assert 0.5 - EARLY <= seconds <= 0.5 + LATE
    assert count < SIZE


def test_a_client_that_reads_too_slowly_is_cut(serve, records, routes):
    """A few bytes now and then do not even open the window of the connection."""
    running = serve(routes, write_stall_timeout=1, access_log="common")

    def read(kind):
        with running.wire() as wire:
            began = time.time()
            wire.send(request_bytes(f"/{kind}"))
            read_slowly(wire, 50, 2)
            return wait_for_log_line(records, f"/{kind}").created - began

    seconds = for_each_kind(read)
    assert all(1 - EARLY <= each <= 1 + LATE for each in seconds.values()), seconds


def read_at_a_steady_pace(running, kind: str, rate: int, window: int | None = None) -> tuple[int, bytes]:
    """So many bytes a second for 8 s, then the rest at once; how many bytes came, and the last of them."""
    with running.wire(window=window) as wire:
        wire.send(request_bytes(f"/{kind}", headers={"Connection": "close"}))
        slowly = read_slowly(wire, rate, 8)
        count, tail = read_the_rest(wire)
        return slowly + count, tail


def test_slow_enough_readers_get_it_all(serve, routes):
    """This pace is far above the minimum rate, for every kind of answer (all settings at their defaults)."""
    running = serve(routes)
    results = for_each_kind(lambda kind: read_at_a_steady_pace(running, kind, 128 << 10))
    assert all(count > SIZE for count, _ in results.values()), results
    assert {results[kind][1] for kind in ("pieces", "crumbs", "later")} == {b"0\r\n\r\n"}


def test_a_reader_makes_progress_while_the_kernel_holds_megabytes(serve, routes):
    """The kernel's buffer at the client takes longer to empty at this pace; the one at the server is small enough.

    Linux opens the window again once a sixteenth of the client's buffer is free. The size of that buffer is fixed, because
    it grows to 32 MB on some machines, and then nothing moves for seconds.
    """
    running = serve(routes, write_stall_timeout=2)
    results = for_each_kind(lambda kind: read_at_a_steady_pace(running, kind, 512 << 10, window=1 << 20))
    assert all(count > SIZE for count, _ in results.values()), results


@pytest.mark.parametrize("kind", KINDS)
def test_the_log_counts_the_bytes_sent(serve, records, routes, kind):
    """The client is cut in the middle: the log does not claim the whole."""
    running = serve(routes, write_stall_timeout=0.3, access_log="json")
    with running.wire() as wire:
        wire.send(request_bytes(f"/{kind}"))
        record = records.wait_for(lambda record: record.name == "outside.access")
    assert json.loads(record.getMessage())["bytes"] < SIZE


@pytest.mark.parametrize("kind", KINDS)
def test_clients_that_do_not_read_hold_no_thread(serve, routes, kind):
    """Five threads for handlers, twenty answers whose clients do not read: the next handler runs at once."""
    running = serve({**routes, "/small": lambda request: "small"}, max_workers=5)
    lazy = [running.wire().send(request_bytes(f"/{kind}")) for _ in range(20)]
    for wire in lazy:
        assert wire.socket.recv(12) == b"HTTP/1.1 200"
    began = time.monotonic()
    assert running.fetch("/small").text == "small"
    assert time.monotonic() - began < 1
    for wire in lazy:
        wire.close()


def test_clients_that_do_not_send_hold_no_thread(serve):
    """Fifty half bodies of every kind beside one thread for handlers; none of them is a request yet."""
    running = serve(lambda request: "x", max_workers=1)
    sized = request_bytes("/", "POST", {"Content-Length": "100"}) + b"half"
    chunked = request_bytes("/", "POST", {"Transfer-Encoding": "chunked"}) + b"10\r\nhalf"
    large = request_bytes("/", "POST", {"Content-Length": "9000000"}) + b"x" * 2_000_000
    waiting = [running.wire().send(raw) for raw in [sized, chunked] * 25 + [large] * 4]
    for _ in range(20):
        began = time.monotonic()
        assert running.fetch().text == "x"
        assert time.monotonic() - began < 1
    assert running.server._active_requests == []
    for wire in waiting:
        wire.close()
