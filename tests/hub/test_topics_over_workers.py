"""Topics over the worker processes of one machine: one order for all subscribers, nothing lost and nothing twice."""

from __future__ import annotations

import json
import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.topics import EventReader, each_worker
from support.websocket_styles import STYLES
from support.wire import request_bytes

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def test_a_message_reaches_subscribers_in_every_process(start):
    server = start()
    one, other = each_worker(server)
    here, there = (server.subscribe(pid, STYLES[2], "news") for pid in (one, other))
    here.send_message("news hello")
    assert (here.receive_message(), there.receive_message()) == ("hello", "hello")
    there.send_message("news grüße")
    assert (here.receive_message(), there.receive_message()) == ("grüße", "grüße")
    assert here.ask("?news") == "2"
    assert here.ask("-news") == "done"
    there.send_message("news again")
    assert there.receive_message() == "again"
    here.settle()
    assert server.stop() == 0
    assert "reaches the connections of its own process alone" not in server.output + "\n".join(server.heard)


def test_all_get_all_in_one_order(start):
    """Four workers, each style of handler and event streams; all workers publish at once."""
    server = start(processes=4)
    workers = each_worker(server)
    sockets = [server.subscribe(pid, style, "room") for pid in workers for style in STYLES]
    streams = [EventReader(server, pid, "room") for pid in workers]
    wait = sockets[0]
    while wait.ask("?room") != str(len(sockets) + len(streams)):
        pass
    count = 250
    publishers = [threading.Thread(target=server.publish, args=(pid, "room", count)) for pid in workers]
    for publisher in publishers:
        publisher.start()
    taken = [socket.take(len(workers) * count) for socket in sockets]
    taken += [[stream.next()["data"] for _ in range(len(workers) * count)] for stream in streams]
    for publisher in publishers:
        publisher.join()
    assert sorted(taken[0]) == sorted(f"{pid} {number}" for pid in workers for number in range(count))
    for pid in workers:
        assert [text for text in taken[0] if text.startswith(f"{pid} ")] == [f"{pid} {number}" for number in range(count)]
    assert all(one == taken[0] for one in taken)
    for socket in sockets:
        socket.settle()
    assert server.stop() == 0


def test_a_killed_worker_takes_nothing_from_the_others(start):
    server = start(processes=3)
    first, second, third = each_worker(server)
    here, there = server.subscribe(first, STYLES[0], "room"), server.subscribe(second, STYLES[2], "room")
    lost = server.subscribe(third, STYLES[2], "room")
    assert lost.ask("?room") == "3"
    here.send_message("room before")
    assert (here.receive_message(), there.receive_message()) == ("before", "before")
    os.kill(third, signal.SIGKILL)
    while here.ask("?room") != "2":
        pass
    server.publish(second, "room", 100)
    wanted = [f"{second} {number}" for number in range(100)]
    assert here.take(100) == there.take(100) == wanted
    slot = next(slot for slot, pid in server.workers().items() if pid == third)
    while server.workers()[slot] == third:
        server.read_line()
    new = server.subscribe(server.workers()[slot], STYLES[1], "room")
    here.send_message("room after")
    assert [client.receive_message() for client in (here, there, new)] == ["after"] * 3
    assert server.stop() == 0


def test_the_end_of_the_first_process_ends_all(start):
    server = start()
    workers = each_worker(server)
    client = server.subscribe(workers[0], STYLES[2], "room")
    server.process.kill()
    assert client.receive_close()[0] == 1001
    for pid in workers:
        wait_until(lambda pid=pid: not os.path.exists(f"/proc/{pid}"), f"worker {pid} has ended")


def test_functions_of_the_program_listen_in_every_process(start):
    server = start()
    one, other = each_worker(server)
    client = server.subscribe(one, STYLES[2], "heard")
    for text in ("first", "second"):
        client.send_message(f"heard {text}")
        assert client.receive_message() == text
    for pid in (one, other):
        with server.wire_to(pid) as wire:

            def has_heard(wire=wire, pid=pid) -> bool:
                answer = wire.send(request_bytes("/heard")).receive_answer()
                return json.loads(answer.text) == {"worker": pid, "heard": ["first", "second"]}

            wait_until(has_heard, f"worker {pid} has heard both")
    # They are no connections.
    assert client.ask("?heard") == "1"
    assert server.stop() == 0
