"""`server.limit` over worker processes: one count for all, and no message for a key that was refused."""

from __future__ import annotations

import math
import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.processes import stopped

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


def test_never_more_than_burst_and_pace_and_no_less(share):
    """100 per minute with a burst of 100: all attempts of all workers, by the store's clock."""
    workers = share(processes=8).each()
    told: list[tuple[int, float, float]] = []
    interval, tolerance = 600_000_000, 99 * 600_000_000

    def try_often(worker) -> None:
        for _ in range(2):
            told.append(worker.do(f"attempts('k', 250, {interval}, {tolerance})"))

    threads = [threading.Thread(target=try_often, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = max(last for _, _, last in told) - min(first for _, first, _ in told)
    assert sum(admitted for admitted, _, _ in told) == 100 + math.floor(elapsed / 0.6)


def test_workers_count_together(share):
    server = share(processes=3)
    workers = server.each()
    answers = [worker.fetch("/limited?key=a") for worker in workers for _ in range(4)]
    assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 7
    assert {answer.header("RateLimit-Policy") for answer in answers} == {'"default";q=5;w=3600'}
    assert [answer.header("RateLimit").split(";")[1] for answer in answers] == [f"r={left}" for left in (4, 3, 2, 1, *[0] * 8)]
    refused = answers[-1]
    assert 700 < int(refused.header("Retry-After")) <= 720
    assert workers[0].fetch("/limited?key=b").status == 200, "another key"
    assert [worker.fetch("/limited/async?key=a").status for worker in workers] == [200, 200, 429]
    policy = workers[0].fetch("/limited/async?key=b").header("RateLimit-Policy")
    assert policy == '"slow";q=2;w=1440'
    paths = ("/group/plain", "/group/async", "/group/plain", "/group/async", "/group/plain")
    assert [workers[n % 3].fetch(path).status for n, path in enumerate(paths)] == [200, 200, 200, 429, 429]
    assert server.stop() == 0


def test_a_refused_key_costs_no_message_and_others_are_counted_here_while_the_hub_is_away(share):
    server = share()
    one, other = server.each()
    for worker in (one, other):
        assert [worker.fetch("/limited?key=a").status for _ in range(6)][-1] == 429
    os.kill(server.process.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(server.process.pid), "the hub stands still")
    assert [worker.fetch("/limited?key=a").status for worker in (one, other)] == [429, 429]
    statuses = [worker.fetch("/limited?key=b").status for worker in (one, other) for _ in range(6)]
    assert statuses == [*[200] * 5, 429] * 2, "each with the same numbers"
    assert one.fetch("/limited/async?key=b").status == 200
    os.kill(server.process.pid, signal.SIGCONT)
    server.wait_for("/h is counted in each process for 5 seconds")
    assert server.stop() == 0


def test_a_dry_run_tells_the_log_and_refuses_nothing(share):
    server = share()
    one, other = server.each()
    answers = [worker.fetch("/limited/dry?key=a") for worker in (one, other, one)]
    assert [(answer.status, answer.header("RateLimit")) for answer in answers] == [(200, None)] * 3
    line = server.wait_for("would have refused")
    assert line.startswith(
        "the limit dry (1/h, a dry run) would have refused 1 request, the last one of 127.0.0.1 for /limited/dry"
    )
    assert server.stop() == 0


def test_one_process_says_how_many_are_left(share):
    (worker,) = share(processes=1).each()
    fields = [worker.fetch("/limited?key=a").header("RateLimit") for _ in range(6)]
    assert fields == [f'"default";r={max(4 - n, 0)};t={720 * min(n + 1, 5)}' for n in range(6)]
