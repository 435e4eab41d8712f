"""Shared state of machines that have a broker: values, locks, limits and schedules are one for all of them."""

from __future__ import annotations

import math
import os
import re
import threading

import pytest

from support.harness import wait_until
from support.shared import SharedServer, Worker

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


@pytest.fixture
def machines(tmp_path, broker):
    started = []

    def start(count: int = 2, **settings: object) -> list[SharedServer]:
        for number in range(count):
            folder = tmp_path / f"machine{number}"
            folder.mkdir()
            started.append(SharedServer(folder, bus=broker.url, processes=1, **settings))
        return started

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


def test_values(machines):
    one, other = (Worker(server, None) for server in machines())
    for value in ("grüße", b"\x00\xff", 7, -(2**62), {"a": [1, None, "ü"]}, "7", b"t", "", 1.5, True):
        assert one.do(f"shared.set('k', {value!r})") in (None, True)
        assert other.do("shared.get('k')") == value
        assert other.aio("aio.get('k')") == value
    assert other.do("shared.get('nothing', 3)") == 3
    assert [worker.do("shared.add('once', 'x')") for worker in (one, other)] == [True, False]
    assert [worker.do("shared.incr('n', 5)") for worker in (one, other, one)] == [5, 10, 15]
    assert one.do(f"shared.set('n', {2**63 - 1})") in (None, True)
    assert "64 bits" in other.fails("shared.incr('n')")
    one.do("shared.set('n', 'text')")
    assert "no whole number" in other.fails("shared.incr('n')")
    assert [worker.do("shared.delete('n')") for worker in (one, other)] == [True, False]
    one.do("shared.set('short', 1, ttl=0.05)")
    wait_until(lambda: other.do("shared.get('short')") is None, "the value ends")


def test_hooks_share_too(machines):
    servers = machines()
    assert sorted(Worker(server, None).do("kept['start']") for server in servers) == [1, 2]
    for number, server in enumerate(servers, 1):
        assert server.stop() == 0
        assert f"stops {number}" in server.output.splitlines()


def test_locks(machines, tmp_path):
    workers = [Worker(server, None) for server in machines()]
    path = tmp_path / "number"
    path.write_text("0")
    tokens: list[int] = []

    def take(worker: Worker) -> None:
        tokens.extend(worker.do(f"locked('l', 10, 50, {str(path)!r})"))

    threads = [threading.Thread(target=take, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_text() == "100"
    assert len(set(tokens)) == 100
    later = workers[0].do(f"locked('l', 10, 1, {str(path)!r})")
    assert later[0] > max(tokens)


def test_limits_count_for_all_machines(machines):
    workers = [Worker(server, None) for server in machines()]
    told: list[tuple[int, float, float]] = []
    interval, tolerance = 600_000_000, 99 * 600_000_000

    def try_often(worker: Worker) -> None:
        told.append(worker.do(f"attempts('k', 300, {interval}, {tolerance})"))

    threads = [threading.Thread(target=try_often, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = max(last for _, _, last in told) - min(first for _, first, _ in told)
    assert sum(admitted for admitted, _, _ in told) == 100 + math.floor(elapsed / 0.6)
    answers = [worker.fetch("/limited?key=a") for worker in workers for _ in range(4)]
    assert [answer.status for answer in answers] == [200] * 5 + [429] * 3
    assert 700 < int(answers[-1].header("Retry-After")) <= 720


def test_each_tick_runs_on_one_machine(machines):
    servers = machines(every=["tick"])
    Worker(servers[0], None).do("shared.get('wait')")
    numbers: list[int] = []
    for server in servers:
        found = 0
        while found < 4:
            if match := re.fullmatch(r"tick (\d+) \d+\n", server.read_line()):
                numbers.append(int(match[1]))
                found += 1
    assert len(numbers) == len(set(numbers))


def test_without_its_broker_there_is_no_store(machines, broker):
    server, *_ = machines(1)
    worker = Worker(server, None)
    worker.do("shared.set('k', 1)")
    broker.kill()
    server.wait_for("the broker has closed the connection")
    for code in ("shared.get('k')", "shared.incr('n')", "shared.lock('l', 10, wait=0).acquire(0)"):
        assert worker.fails(code).startswith("TimeoutError: the broker of config"), code
    assert worker.fails("aio.get('k')", "/aio").startswith("TimeoutError: ")
    # A limit counts on in the process, with the same numbers.
    assert [worker.fetch("/limited?key=a").status for _ in range(6)] == [200] * 5 + [429]
    broker.start()
    server.wait_for("back after")
    assert worker.do("shared.get('k')") is None
    assert worker.do("shared.incr('n')") == 1
