"""A worker that stands still, and one that floods: the others are unharmed, memory is bounded, and what is lost is told."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.processes import stopped
from support.topics import EventReader, each_worker, memory_of
from support.websocket_styles import CALLBACKS

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

QUEUE = 8 << 20


def test_a_stopped_worker_costs_its_queue_and_is_told_of_one_gap(start):
    server = start(processes=3)
    first, second, halted = each_worker(server)
    reader = server.subscribe(first, CALLBACKS, "room")
    stream, other = EventReader(server, halted, "room"), EventReader(server, halted, "other")
    while reader.ask("?room") != "2" or reader.ask("?other") != "1":
        pass
    os.kill(halted, signal.SIGSTOP)
    wait_until(lambda: stopped(halted), "the worker stands still")
    before = memory_of(server.process.pid)
    size, count = 50_000, 600
    publisher = threading.Thread(target=server.publish, args=(second, "room", count, size))
    publisher.start()
    assert reader.take(count) == [f"{second} {number}" for number in range(count)]
    publisher.join()
    assert memory_of(server.process.pid) - before < 2 * QUEUE
    os.kill(halted, signal.SIGCONT)
    events = []
    while not events or events[-1]["data"].split() != [str(second), str(count - 1)]:
        events.append(stream.next())
    gaps = [event for event in events if event.get("event") == "gap"]
    assert gaps == [{"event": "gap", "data": "room"}]
    numbers = [int(event["data"].split()[1]) for event in events if "event" not in event]
    # All before the gap and all after it, in order.
    missing = sorted(set(range(count)) - set(numbers))
    assert numbers == sorted(set(numbers))
    assert missing == list(range(missing[0], missing[-1] + 1))
    server.publish(second, "other", 1)
    assert other.next() == {"data": f"{second} 0"}
    assert server.stop() == 0


def test_a_worker_that_floods_leaves_the_others_their_share(start):
    server = start(processes=3)
    flooding, second, third = each_worker(server)
    reader = server.subscribe(second, CALLBACKS, "room")
    server.subscribe(third, CALLBACKS, "flood")
    ends = threading.Event()

    def flood() -> None:
        while not ends.is_set():
            server.publish(flooding, "flood", 2000, 20_000)

    flooder = threading.Thread(target=flood)
    flooder.start()
    for _ in range(3):
        server.publish(third, "room", 100)
        assert reader.take(100) == [f"{third} {number}" for number in range(100)]
    ends.set()
    flooder.join()
    reader.settle()
    assert server.stop() == 0


def test_a_message_that_is_too_large_is_refused(start):
    server = start(max_body_size_mb=16)
    (pid, _) = each_worker(server)
    with server.wire_to(pid):
        client = server.subscribe(pid, CALLBACKS, "room")
    client.send_message("room " + "x" * (1 << 19))
    assert len(client.receive_message()) == 1 << 19
    with server.wire_to(pid) as wire:
        from support.wire import request_bytes

        answer = wire.send(request_bytes(f"/publish?topic=room&from=x&count=1&size={5 << 20}")).receive_answer()
        assert answer.status == 500
    client.settle()
    server.stop()
    assert f"a published message has at most {4 << 20} bytes, not {5 << 20}" in server.output + "\n".join(server.heard)
