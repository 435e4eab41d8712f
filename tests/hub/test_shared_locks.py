"""`server.shared.lock`: one holder at a time, whose number grows."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from support.harness import wait_until
from support.processes import stopped

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")


@pytest.mark.parametrize("processes", [1, 3])
def test_one_holds_it_at_a_time(share, tmp_path, processes):
    server = share(processes=processes)
    callers = [(caller, do) for do in ("do", "aio")[:processes] for caller in server.each()]
    counter = tmp_path / "counter"
    counter.write_text("0")
    tokens: list[list[int]] = []

    def hold(caller, do) -> None:
        tokens.append(getattr(caller, do)(f"locked{'_async' if do == 'aio' else ''}('l', 60, 20, {str(counter)!r})"))

    threads = [threading.Thread(target=hold, args=caller) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    every = [token for some in tokens for token in some]
    assert counter.read_text() == str(len(every)) == str(20 * len(threads))
    assert len(set(every)) == len(every) and all(some == sorted(some) for some in tokens)


def test_a_holder_that_dies_gives_it_back(share):
    server = share()
    one, other = server.each()
    first = one.do("[kept.update(l=shared.lock('l', 60)), kept['l'].acquire(), kept['l'].token][-1]")
    assert other.do("shared.lock('l', 60).acquire(0)") is False
    os.kill(one.pid, signal.SIGKILL)
    second = other.do("[kept.update(l=shared.lock('l', 60, wait=20)), kept['l'].__enter__(), kept['l'].token][-1]")
    assert second > first
    assert other.do("kept['l'].release()") is True


def test_a_holder_that_stands_still_loses_it(share):
    server = share()
    one, other = server.each()
    first = one.do("[kept.update(l=shared.lock('l', 0.3)), kept['l'].acquire(), kept['l'].token][-1]")
    os.kill(one.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(one.pid), "the holder stands still")
    second = other.do("[kept.update(l=shared.lock('l', 60)), kept['l'].acquire(), kept['l'].token][-1]")
    os.kill(one.pid, signal.SIGCONT)
    assert first < second
    assert one.fails("kept['l'].renew()").startswith("RuntimeError: the lock 'l' is not held any more")
    assert one.do("kept['l'].release()") is False
    assert other.do("[kept['l'].renew(30), kept['l'].release()]") == [None, True]
    one.do("[kept.update(l=shared.lock('l', 0.05)), kept['l'].__enter__()][0]")
    wait_until(lambda: other.do("shared.lock('l', 1).acquire(0)"), "its time is over")
    assert one.do("kept['l'].__exit__(None, None, None)") is None
    server.wait_for("the lock 'l' was not held any more at its end")
    assert server.stop() == 0


@pytest.mark.parametrize("processes", [1, 2])
def test_a_wait_ends(share, processes):
    workers = share(processes=processes).each()
    one, other = workers[0], workers[-1]
    one.do("[kept.update(l=shared.lock('l', 60)), kept['l'].acquire()]")
    assert other.do("shared.lock('l', 60).acquire(0.02)") is False
    assert other.aio("aio.lock('l', 60).acquire(0)") is False
    late = "TimeoutError: the lock 'l' is held elsewhere; it was waited for 0.01 seconds"
    assert other.fails("shared.lock('l', 60, wait=0.01).__enter__()") == late
    assert other.fails("aio.lock('l', 60, wait=0.01).__aenter__()", "/aio") == late
    assert one.fails("kept['l'].acquire()").startswith("RuntimeError: this lock 'l' is held already")
    assert one.do("kept['l'].release()") is True
    assert one.fails("kept['l'].token").startswith("RuntimeError: the lock 'l' is not held")
    assert other.do("shared.lock('l', 60).acquire(0)") is True
