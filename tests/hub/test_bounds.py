"""A worker that stands still, and one that floods: the others are unharmed, memory is bounded, and what is lost is told."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.processes import stopped
from support.topics import EventReader, each_worker, memory_of, publish_on
from support.websocket_styles import CALLBACKS

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

QUEUE = 8 << 20


def test_a_stopped_worker_costs_its_queue_and_is_told_of_one_gap(start):
    server = start(processes=3, websocket={"max_queue": 64 << 20})
    first, second, halted = each_worker(server)
    reader = server.subscribe(first, CALLBACKS, "room")
    stream, other = EventReader(server, halted, "room"), EventReader(server, halted, "other")
    while reader.ask("?room") != "2" or reader.ask("?other") != "1":
        pass
    # Once a worker stands still, a new connection may wait for it.
    publisher = server.wire_to(second)
    os.kill(halted, signal.SIGSTOP)
    wait_until(lambda: stopped(halted), "the worker stands still")
    before = memory_of(server.process.pid)
    size, rounds, each = 50_000, 30, 20
    for round in range(rounds):
        publish_on(publisher, "room", f"round{round}", each, size)
        assert reader.take(each) == [f"round{round} {number}" for number in range(each)]
    assert memory_of(server.process.pid) - before < 2 * QUEUE
    os.kill(halted, signal.SIGCONT)
    events = []
    last = [f"round{rounds - 1}", str(each - 1)]
    while not events or events[-1]["data"].split() != last:
        events.append(stream.next())
    gaps = [event for event in events if event.get("event") == "gap"]
    assert gaps == [{"event": "gap", "data": "room"}]
    texts = [event["data"].split() for event in events if "event" not in event]
    numbers = [int(round.removeprefix("round")) * each + int(number) for round, number in texts]
    # All before the gap and all after it, in order.
    missing = sorted(set(range(rounds * each)) - set(numbers))
    assert numbers == sorted(set(numbers))
    assert missing == list(range(missing[0], missing[-1] + 1))
    publish_on(publisher, "other", str(second), 1)
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
            server.publish(flooding, "flood", 500, 20_000)

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
