"""Readers of an event stream over a topic that take nothing: what waits for one is counted in bytes, and the others get everything."""

from __future__ import annotations

import pytest

from outside import event_stream
from support.wire import Wire, request_bytes

COUNT = 240
MESSAGE = "x" * 250_000


def events(request):
    return event_stream(topic="news", keep_alive=60)


def opened(address: tuple, window: int | None = None) -> Wire:
    wire = Wire(address, window=window)
    wire.send(request_bytes("/", headers={"Connection": "close"}))
    while b"\r\n\r\n" not in wire.received:
        assert wire.receive_some()
    return wire


def test_large_messages_do_not_wait_by_the_thousand(serve):
    """60 MB are published; a stream whose reader stands still is cut off, in good order, so that it comes back by itself."""
    running = serve(events)
    with opened(running.address) as quick, opened(running.address, 4096) as slow:
        assert running.server.listeners("news") == 2
        for number in range(COUNT):
            running.server.publish("news", f"{number} {MESSAGE}")
            while b"x\n\n" not in quick.received:
                assert quick.receive_some()
            assert b"data: %d x" % number in quick.received
            quick.received.clear()
        assert running.server.listeners("news") == 1
        rest = slow.receive_rest()
        assert rest.endswith(b"\r\n0\r\n\r\n")
        # What the system holds on both sides, what is being sent, and 1 MiB that waited.
        assert len(rest) < 20_000_000, len(rest)
        # None is left out before the end.
        heard = [number for number in range(COUNT) if b"data: %d x" % number in rest]
        assert heard == list(range(len(heard)))
        assert 0 < len(heard) < COUNT


@pytest.mark.parametrize("size", [2_000_000, 10])
def test_one_message_of_any_size_is_delivered(serve, size):
    running = serve(events)
    with opened(running.address) as wire:
        assert running.server.listeners("news") == 1
        running.server.publish("news", "y" * size)
        while b"y" * size not in wire.received:
            assert wire.receive_some()
