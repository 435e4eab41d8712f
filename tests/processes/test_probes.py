"""Probes of load balancers and container platforms, and the time for them before a server drains."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path

import pytest

from support.harness import Script
from support.timing import Judge
from support.wire import Wire, fetch, request_bytes

PROGRAM = """\
import sys, time
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", ready_route="/ready", live_route="/live", health_route="/up", processes=int(sys.argv[2]),
                     drain_delay=float(sys.argv[1]), allowed_hosts=["example.com"])
server.set_route("/", lambda request: "served")
server.set_route("/slow", lambda request: time.sleep(1.0) or "slow")
server.run()
"""


def ask(address: tuple, target: str) -> int:
    """Over a new connection, for the server's own host."""
    return fetch(address, target, headers={"Host": "example.com"}).status


def test_the_paths_answer_for_any_host(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = Script("program.py", "0", "1", folder=tmp_path)
    for path, status in [("/ready", 200), ("/live", 200), ("/up", 200), ("/", 421), ("/ready/", 421)]:
        assert fetch(script.address, path, headers={"Host": "10.1.2.3"}).status == status, path
    assert fetch(script.address, "/live", "HEAD", {"Host": "10.1.2.3"}).header("Cache-Control") == "no-store"
    assert script.stop() == 0


def test_no_client_is_refused_before_the_server_drains(tmp_path: Path):
    """After SIGTERM, with a new connection every 10 ms: none is refused for the whole of the delay, and within 100 ms the server is no
    longer ready. With one process and with four, at the same time."""
    (tmp_path / "program.py").write_text(PROGRAM)
    delay = 5.0
    faults: list[str] = []
    unready: dict[str, float | None] = {}
    judge = Judge()

    def watch(processes: str) -> None:
        script = Script("program.py", str(delay), processes, folder=tmp_path)
        with Wire(script.address) as kept:
            kept.send(request_bytes("/live", headers={"Host": "example.com"})).receive_answer()
            assert [ask(script.address, path) for path in ("/", "/ready", "/live", "/up")] == [200] * 4
            script.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            count, unready_after = 0, None
            while (at := time.monotonic() - began) < delay - 0.2:
                try:
                    if ask(script.address, "/") != 200:
                        faults.append(f"{processes}: not served after {at:.2f} s")
                    if unready_after is None and ask(script.address, "/ready") == 503:
                        unready_after = time.monotonic() - began
                except OSError as error:
                    faults.append(f"{processes}: {error} after {at:.2f} s")
                count += 1
                threading.Event().wait(0.01)
            unready[processes] = unready_after
            if (ask(script.address, "/up"), ask(script.address, "/live")) != (503, 200):
                faults.append(f"{processes}: the other paths")
            kept.send(request_bytes("/live", headers={"Host": "example.com"})).receive_answer()
        if script.wait() != 0 or count < 50:
            faults.append(f"{processes}: {count} requests, {script.errors}")
        if "the server ends: it serves for 5 s more" not in script.errors:
            faults.append(f"{processes}: {script.errors}")

    watchers = [threading.Thread(target=watch, args=(processes,)) for processes in ("1", "4")]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    assert not faults, faults
    for processes, seconds in unready.items():
        judge.at_most(seconds, 0.1, f"the 503 of {processes} processes")


@pytest.mark.timed
def test_a_server_that_drains_lives_and_says_what_it_waits_for(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    script = Script("program.py", "0", "1", folder=tmp_path)
    with Wire(script.address) as busy, Wire(script.address) as probe:
        busy.send(request_bytes("/slow", headers={"Host": "example.com"}))
        probe.send(request_bytes("/live")).receive_answer()
        script.process.send_signal(signal.SIGTERM)
        assert busy.receive_answer().text == "slow"
    assert script.wait() == 0
    assert "1 answer in flight, at most 30 s" in script.errors
    assert "the end waits for GET /slow" in script.errors
