"""The times that metrics tell: those of handlers, of requests that wait behind others, and of connections that were idle."""

from __future__ import annotations

import threading

from support.harness import wait_until
from support.metrics import DURATION, Measured
from support.timing import Judge
from support.wire import Wire, request_bytes

PAUSE, USERS = "/pause/{milliseconds:int}", "/users/{number:int}"


def seconds(script: Measured, route: str, name: str = DURATION) -> float:
    return script.metrics().value(f"{name}_sum", http_route=route)


def test_a_request_that_waits_behind_a_slow_one_counts_its_wait(start_measured):
    script = start_measured(processes=1)
    judge = Judge()
    # The cells of a route's handler are there once it was looked at.
    wait_until(lambda: script.metrics().kinds.get("outside_handler_wait_seconds") == "histogram", "a look at the handlers")
    before = script.metrics()
    with Wire(script.address) as wire:
        wire.send(request_bytes("/pause/30") + request_bytes("/users/1"))
        assert [wire.receive_answer().status for _ in range(2)] == [200, 200]
    wait_until(lambda: script.metrics().requests() == before.requests() + 2, "both are counted")
    metrics = script.metrics()
    for route in (PAUSE, USERS):
        assert seconds(script, route) >= 0.03, f"{route}: both clients have waited"
        assert metrics.value(f"{DURATION}_bucket", http_route=route, le="0.025") == 0
    assert seconds(script, PAUSE, "outside_handler_seconds") >= 0.03
    assert seconds(script, USERS, "outside_handler_wait_seconds") >= 0.03
    judge.at_most(seconds(script, USERS, "outside_handler_seconds"), 0.02, "the quick call")
    judge.at_most(seconds(script, PAUSE, "outside_handler_wait_seconds"), 0.02, "the wait of the first one")


def test_a_connection_that_was_idle_adds_nothing(start_measured):
    script = start_measured(processes=1)
    judge, idle = Judge(), threading.Event()
    with Wire(script.address) as wire:
        for _ in range(5):
            assert wire.send(request_bytes("/users/1")).receive_answer().status == 200
            # Nothing is to come: the connection has to be idle for a time.
            idle.wait(0.2)
    wait_until(lambda: script.metrics().requests() == 5, "all are counted")
    judge.at_most(seconds(script, USERS), 0.15, "five quick requests")
