"""Shared state for a minute, while workers are killed: ticks of a schedule, and takeovers of a lock."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import threading
import time

import pytest

from support.brokers import PROGRAMS, Broker
from support.shared import SharedServer, Worker
from support.topics import memory_of


@pytest.fixture
def share(tmp_path):
    started = []

    def start(**settings: object) -> SharedServer:
        started.append(SharedServer(tmp_path, **settings))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            server.stop()


def test_shared_a_million_clients_of_a_limit(share):
    server = share(process_timeout=600)
    one, _ = server.each()
    before = memory_of(server.process.pid)
    for start in range(0, 1_000_000, 50_000):
        assert one.aio(f"fill({start}, 50_000)")
    grown = memory_of(server.process.pid) - before
    print(f"{grown / 1e6:.1f} MB")
    assert grown <= 64_000_000
    assert server.stop() == 0


INTERVAL, TOLERANCE = 600_000_000, 99 * 600_000_000


def try_often(workers: list[Worker], count: int) -> None:
    """100 per minute with a burst of 100: as many pass as the pace allows by the store's clock, none more and none less."""
    told: list[tuple[int, float, float]] = []

    def attempt(worker: Worker) -> None:
        for _ in range(count // 500):
            told.append(worker.do(f"attempts('k', 500, {INTERVAL}, {TOLERANCE})"))

    threads = [threading.Thread(target=attempt, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(workers) * (count // 500)
    elapsed = max(last for _, _, last in told) - min(first for _, first, _ in told)
    admitted = sum(admitted for admitted, _, _ in told)
    print(f"{admitted} of {len(workers) * count} in {elapsed:.2f} s")
    assert admitted == 100 + math.floor(elapsed / 0.6)


def test_shared_a_limit_over_eight_workers(share):
    server = share(processes=8, process_timeout=600)
    try_often(server.each(), 10_000)
    assert server.stop() == 0


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_shared_a_limit_over_two_machines(tmp_path, program):
    broker, servers = Broker(tmp_path, program=program), []
    try:
        for name in ("one", "other"):
            (tmp_path / name).mkdir()
            servers.append(SharedServer(tmp_path / name, processes=4, bus=broker.url, process_timeout=600))
        try_often([worker for server in servers for worker in server.each()], 10_000)
        assert [server.stop() for server in servers] == [0, 0]
    finally:
        broker.kill()


def test_shared_a_tick_each_second_and_a_kill_each_second(share):
    """A worker that dies while it has a tick costs that tick and no other."""
    server = share(processes=4, every=["tick"], period="1s")
    end, numbers = time.monotonic() + 61, []
    server.each()

    def kill() -> None:
        while time.monotonic() < end:
            time.sleep(1)
            pid = random.choice(list(server.workers().values()))
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    killing = threading.Thread(target=kill)
    killing.start()
    while time.monotonic() < end:
        if match := re.fullmatch(r"tick (\d+) \d+\n", server.read_line()):
            numbers.append(int(match[1]))
    killing.join()
    print(f"{len(numbers)} runs, the last tick was {numbers[-1]}")
    assert numbers == sorted(set(numbers)), "a tick has run twice"
    assert len(numbers) >= 58
    assert server.stop() == 0


def test_shared_locks_while_holders_are_killed(share, tmp_path):
    """10,000 takeovers by four workers while one is killed five times a second: the holder of the lock has the highest token so far."""
    server = share(processes=4)
    server.each()
    path, end = tmp_path / "resource", time.monotonic() + 300
    path.write_text("0")
    code = f"[take('l', 30, {str(path)!r}) for _ in range(50)][-1]"
    taken, killed = [0], [0]

    def hold() -> None:
        while taken[0] < 10_000 and time.monotonic() < end:
            try:
                workers = server.workers()
                server.of(random.choice(list(workers.values()))).do(code)
                taken[0] += 50
            except (AssertionError, OSError):
                continue

    def kill() -> None:
        while taken[0] < 10_000 and time.monotonic() < end:
            time.sleep(0.2)
            try:
                os.kill(random.choice(list(server.workers().values())), signal.SIGKILL)
                killed[0] += 1
            except ProcessLookupError:
                pass

    def listen() -> None:
        while taken[0] < 10_000 and time.monotonic() < end:
            server.read_line()

    threads = [threading.Thread(target=target) for target in (hold, hold, hold, kill, listen)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{taken[0]} takeovers by requests that ended, {killed[0]} kills")
    lines = path.read_text().split()
    tokens = [int(token) for token in lines if token.isdigit()]
    assert tokens == sorted(tokens) and len(set(tokens)) == len(tokens)
    assert len(tokens) >= 10_000
    server.stop()
