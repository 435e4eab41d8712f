"""`server.shared`: values that all processes of a server have, with one process as with several."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.processes import stopped
from support.shared import Worker

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")

both = pytest.mark.parametrize("processes", [1, 2])
VALUES = ["", "grüße", b"", b"\0\xff", 0, -(2**63), 2**63 - 1, 2**70, 1.5, True, {"a": [1, None, "b"]}, []]


@both
def test_a_value_is_that_of_every_process(share, processes):
    workers = share(processes=processes).each()
    one, other = workers[0], workers[-1]
    for number, value in enumerate(VALUES):
        assert one.do(f"shared.set('{number}', {value!r})") is None
        assert other.do(f"shared.get('{number}')") == value
        assert type(other.aio(f"aio.get('{number}')")) is type(value)
        assert other.aio(f"aio.set('{number}', {value!r})") is None
        assert one.do(f"shared.get('{number}', 'none')") == value
    assert one.do("shared.get('absent')") is None and one.aio("aio.get('absent', 5)") == 5
    assert [one.do("shared.delete('1')"), other.aio("aio.delete('1')"), other.do("shared.get('1')")] == [True, False, None]
    assert [one.do("shared.add('new', 1)"), other.aio("aio.add('new', 2)"), one.do("shared.get('new')")] == [True, False, 1]


@both
def test_values_expire(share, processes):
    workers = share(processes=processes).each()
    one, other = workers[0], workers[-1]
    one.do("shared.set('short', 'x', ttl=0.1)")
    one.aio("aio.set('long', 'y', ttl=1000)")
    assert one.do("shared.incr('count', 5, ttl=1000)") == 5
    wait_until(lambda: other.do("shared.get('short')") is None, "the value has expired")
    assert (other.do("shared.get('long')"), other.do("shared.incr('count', -7)")) == ("y", -2)
    assert other.do("shared.add('short', 'z')") is True


@pytest.mark.parametrize("call", ["do('shared.incr(\"n\")')", "aio('aio.incr(\"n\")')"])
def test_each_number_is_given_once(share, call):
    workers = share(processes=3).each()
    numbers: list[int] = []

    def count(worker) -> None:
        for _ in range(100):
            numbers.append(eval(f"worker.{call}"))

    threads = [threading.Thread(target=count, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 301))


def test_values_outlive_workers_and_reloads(share):
    server = share()
    one, other = server.each()

    def wait_for_others_than(*pids: int) -> None:
        def are_others() -> bool:
            return not set(pids) & set(server.workers().values()) or not server.read_line()

        wait_until(are_others, "others have started")

    one.do("shared.set('kept', {'by': 'a worker that dies'})")
    os.kill(one.pid, signal.SIGKILL)
    assert other.do("shared.get('kept')") == {"by": "a worker that dies"}
    wait_for_others_than(one.pid)
    before = list(server.workers().values())
    server.reload()
    wait_for_others_than(*before)
    for worker in server.each():
        assert worker.do("shared.get('kept')") == {"by": "a worker that dies"}
    assert server.stop() == 0


def test_one_process_keeps_all_over_reloads(share):
    """Values, counts of limits, locks and their tokens, while one process takes the place of another."""
    server = share(processes=1)
    (worker,) = server.each()
    worker.do("shared.set('kept', 'by the first')")
    tokens = [worker.do("[kept.update(l=shared.lock('l', 60)), kept['l'].acquire(), kept['l'].token][-1]")]
    assert [worker.fetch("/limited?key=a").status for _ in range(3)] == [200] * 3
    pids = [worker.fetch("/worker").text]
    for number in range(3):
        server.reload()
        wait_until(lambda: Worker(server, None).fetch("/worker").text not in pids, "the next one serves")
        worker = Worker(server, None)
        pids.append(worker.fetch("/worker").text)
        assert worker.do("kept['start']") == number + 2
        assert worker.do("shared.get('kept')") == "by the first"
        assert worker.aio("aio.incr('count')") == number + 1
        if number == 0:
            assert worker.do("shared.lock('l', 60).acquire(0)") is False, "its holder is the process that was started"
            assert [worker.fetch("/limited?key=a").status for _ in range(3)] == [200, 200, 429]
        tokens.append(worker.do(f"[kept.update(l=shared.lock('{number}', 60)), kept['l'].acquire(), kept['l'].token][-1]"))
    assert tokens == sorted(set(tokens))
    assert worker.do("shared.lock('0', 60, wait=20).acquire()") is True, "the process of its holder has ended"
    assert server.stop() == 0


WRONG_CALLS = [
    ("set('a', None)", "ValueError: a shared value is not None"),
    ("set('', 1)", "ValueError: "),
    ("set('a' * 1025, 1)", "ValueError: "),
    ("set('a', 'x' * (1 << 20) + 'x')", "ValueError: "),
    ("set('a', {1: print})", "TypeError: "),
    ("set('a', 1, ttl=0)", "ValueError: a time is a number of seconds above 0, not 0"),
    ("set('a', 1, ttl=-1)", "ValueError: a time is a number of seconds above 0, not -1"),
    ("set(5, 1)", "TypeError: "),
    ("incr('text')", 'TypeError: "text": the value of this key is no whole number'),
    ("incr('large', 2**63 - 1)", 'OverflowError: "large": the sum is beyond 64 bits'),
    ("set('full', 'x' * 200_000)", 'RuntimeError: "full": shared values take as much memory as config["max_shared_mb"]'),
    ("lock('l', 0)", "ValueError: ttl is a number of seconds above 0, not 0"),
    ("lock('l', 1, wait=-1)", "ValueError: wait is a number of seconds from 0 on, or None, not -1"),
]


@both
def test_wrong_calls(share, processes):
    worker = share(processes=processes, max_shared_mb=0.15).each()[0]
    worker.do("[shared.set('text', 'x'), shared.set('large', 1)]")
    for code, error in WRONG_CALLS:
        assert worker.fails(f"shared.{code}").startswith(error), code
        assert worker.fails(f"aio.{code}", "/aio").startswith(error), code
    assert worker.do("shared.get('text')") == "x"


def test_a_hub_that_stands_still_costs_a_call_one_second(share):
    server = share()
    one, other = server.each()
    one.do("shared.set('a', 1)")
    os.kill(server.process.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(server.process.pid), "the hub stands still")
    failures: list[str] = []
    waiting = threading.Thread(target=lambda: failures.append(one.fails("aio.get('a')", "/aio")))
    waiting.start()
    assert other.fails("shared.get('a')").startswith("TimeoutError: the store of shared state has not answered in time")
    waiting.join()
    assert failures[0].startswith("TimeoutError: the store of shared state has not answered in time")
    os.kill(server.process.pid, signal.SIGCONT)
    assert (one.aio("aio.get('a')"), other.do("shared.get('a')")) == (1, 1)
    assert server.stop() == 0


@both
def test_hooks_share_too(share, processes):
    """Before a server serves, and after it has, no task reads the answers of the hub."""
    server = share(processes=processes)
    workers = server.each()
    assert sorted(worker.do("kept['start']") for worker in workers) == list(range(1, processes + 1))
    # On a loop of the program's own.
    for number, worker in enumerate(workers):
        assert worker.do("asyncio.run(aio.incr('own'))") == number + 1
    assert server.stop() == 0
    assert sorted(line for line in server.output.splitlines() if "stops" in line) == [
        f"stops {n + 1}" for n in range(processes)
    ]


def test_an_idle_hub_does_not_wake(share):
    server = share()
    one, _ = server.each()
    one.do("[shared.set('a', 1, ttl=0.01), shared.lock('l', 0.01).acquire()]")

    def switches() -> list[str]:
        with open(f"/proc/{server.process.pid}/status") as status:
            return [line for line in status if "ctxt_switches" in line]

    never = threading.Event()
    never.wait(0.1)  # the answer leaves before the hub waits again
    before = switches()
    never.wait(0.5)
    assert switches() == before
