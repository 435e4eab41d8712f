"""Counts over several processes: equal to those of the clients, whichever process answers, and never smaller than before."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import threading
import time

import pytest

from support.harness import wait_until
from support.metrics import DURATION, fallen, stop
from support.metrics_load import check_counts, check_series, hostile, mixed, slowest
from support.processes import wait_for_end
from support.subprocesses import run_process
from support.timing import Judge
from support.wire import Incomplete, Wire, fetch, request_bytes

PROMTOOL = shutil.which("promtool")


def test_the_first_numbers(start_measured):
    script = start_measured(processes=2)
    for _ in range(5):
        assert fetch(script.address, "/users/7").text == "user 7"
    assert fetch(script.address, "/nothing").status == 404
    wait_until(lambda: script.metrics().requests() == 6, "six requests are counted")
    metrics = script.metrics()
    labels = {"http_request_method": "GET", "network_protocol_version": "1.1", "url_scheme": "http"}
    assert metrics.requests(http_route="/users/{number:int}", http_response_status_code="200", **labels) == 5
    assert metrics.requests(http_route="", http_response_status_code="404", **labels) == 1
    assert metrics.value(f"{DURATION}_bucket", le="+Inf") == 6
    assert 0 < metrics.value(f"{DURATION}_sum") < 6
    assert metrics.kinds[DURATION] == "histogram"
    assert metrics.value("outside_workers", state="serving") == 2
    assert metrics.value("outside_connections_total") == 6


@pytest.mark.parametrize("settings", [{"processes": 2}, {"processes": 1}])
def test_mixed_requests_are_counted_as_the_clients_count(start_measured, settings):
    script = start_measured(**settings)
    wanted = mixed(script, clients=6, each=300)
    assert wanted.total() == 1800
    check_counts(script, wanted)


def test_numbers_of_the_program(start_measured):
    script = start_measured(processes=2)
    for number in range(40):
        with Wire(script.address) as wire:
            wire.send(request_bytes(f"/orders/{'book' if number % 4 else 'pen'}", method="POST"))
            assert wire.receive_answer().status == 200
    wait_until(lambda: script.metrics().value("orders_total") == 40, "all orders")
    metrics = script.metrics()
    assert (metrics.value("orders_total", kind="book"), metrics.value("orders_total", kind="pen")) == (30, 10)
    assert (metrics.value("size_bytes_count"), metrics.value("size_bytes_sum")) == (40, 2000)
    assert (metrics.value("size_bytes_bucket", le="10"), metrics.value("size_bytes_bucket", le="100")) == (0, 40)
    # Counted before the workers were forked, once.
    assert metrics.value("imports_total") == 1
    workers = script.ask("/status.json").status
    assert workers == 404, "there is no page"
    # The sum of both workers, or the one that has had all; the largest of both.
    assert metrics.value("jobs") in (1, 2) and metrics.value("newest") > 1


def test_no_counter_falls_when_workers_are_killed(start_measured):
    script = start_measured(processes=2, status_page=True)
    asked, done = 0, threading.Event()

    def ask() -> None:
        nonlocal asked
        while not done.is_set():
            try:
                fetch(script.address, "/users/1")
                asked += 1
            except (OSError, AssertionError, Incomplete):
                pass  # its worker was killed

    client = threading.Thread(target=ask)
    client.start()
    before = script.metrics()
    killed = None
    for kill in range(4):
        killed = script.wait_for_workers(2, without=killed)[kill % 2]
        os.kill(killed, signal.SIGKILL)
        for _ in range(20):
            after = script.metrics()
            assert fallen(before, after) == []
            before = after
        script.wait_for_line("is replaced")
    done.set()
    client.join()
    script.wait_for_workers(2)
    wait_until(lambda: script.metrics().value("outside_worker_ends_total", how="signal") == 4, "four ends")
    # At most the counts of the last 100 milliseconds of each are lost.
    assert script.metrics().requests() > asked / 2


def test_scrape_during_reload(start_measured):
    script = start_measured(processes=2, status_page=True)
    for _ in range(10):
        fetch(script.address, "/users/1")
    wait_until(lambda: script.metrics().requests() == 10, "ten requests")
    before, generations = script.metrics(), {script.process.pid}
    for reload in range(3):
        script.process.send_signal(signal.SIGHUP)
        heard = threading.Thread(target=script.wait_for_line, args=("tells its metrics",))
        heard.start()
        while heard.is_alive():
            begun = time.monotonic()
            after = script.metrics()
            assert time.monotonic() - begun < 5
            assert fallen(before, after) == [], f"reload {reload}"
            before = after
        heard.join()
        fetch(script.address, "/users/1")
        generations |= {int(line.split()[1]) for line in script.heard if line.startswith("generation ")}
    assert len(generations) == 4
    wait_until(lambda: script.metrics().requests() == 13, "requests of all generations")
    wait_until(lambda: script.metrics().value("outside_reloads_total", result="served") == 3, "three reloads")
    assert script.metrics().value("outside_generation") == 4
    # Those before have ended, and stay counted.
    wait_until(lambda: script.metrics().value("outside_workers") == 2, "two workers are left")
    assert script.metrics().requests() == 13
    assert fallen(before, script.metrics()) == []


def test_a_single_process_is_reloaded(start_measured):
    script = start_measured(processes=1)
    fetch(script.address, "/users/1")
    wait_until(lambda: script.metrics().requests() == 1, "one request")
    for reload in range(2):
        script.process.send_signal(signal.SIGHUP)
        script.wait_for_line("serves")
        fetch(script.address, "/users/1")
        wait_until(lambda: script.metrics().requests() == 2 + reload, "the requests of both")  # noqa: B023
    wait_until(lambda: script.metrics().value("imports_total") == 3, "the imports of all three")


@pytest.mark.parametrize("trouble", ["stopped", "/hold"])
def test_a_process_that_does_not_answer_is_counted(start_measured, trouble):
    script = start_measured(processes=2, status_page=True)
    workers = script.wait_for_workers(2)
    for _ in range(20):
        fetch(script.address, "/users/1")
    wait_until(lambda: script.metrics().requests() == 20, "twenty requests")
    if trouble == "stopped":
        stop(workers[0])
    else:
        wire = Wire(script.address)
        wire.send(request_bytes(trouble))
        wait_until(lambda: script.metrics().value("http_server_active_requests") == 1, "it is held")
    try:
        for _ in range(20):
            assert script.metrics().requests() == 20
            script.status()
        if trouble == "stopped":
            wait_until(lambda: script.metrics().value("outside_workers", state="silent") == 1, "one is silent")
    finally:
        os.kill(workers[0], signal.SIGCONT)


@pytest.mark.parametrize("trouble", ["stopped", "/hold", "a reload"])
def test_scrape_and_status_take_50_ms_at_most(start_measured, trouble):
    """Beside a process that is stopped, one that holds Python's lock in C, and while the program is reloaded."""
    script = start_measured(processes=4, status_page=True)
    workers = script.wait_for_workers(4)
    for _ in range(20):
        fetch(script.address, "/users/1")
    judge = Judge()
    wire = Wire(script.address)
    if trouble == "stopped":
        stop(workers[0])
    elif trouble == "/hold":
        wire.send(request_bytes(trouble))
        wait_until(lambda: script.metrics().value("http_server_active_requests") == 1, "it is held")
    else:
        script.process.send_signal(signal.SIGHUP)
    try:
        scrape, status = slowest(script.metrics, 30), slowest(script.status, 30)
    finally:
        os.kill(workers[0], signal.SIGCONT)
    print(f"{trouble}: scrape {scrape * 1000:.1f} ms, status {status * 1000:.1f} ms")
    judge.at_most(scrape, 0.05, "a scrape")
    judge.at_most(status, 0.05, "the status")


def test_the_socket_is_its_owners_and_goes(start_measured):
    script = start_measured(processes=2)
    path = script.place.removeprefix("unix:")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert script.stop() == 0, script.errors
    assert not os.path.exists(path)


def test_hostile_requests_make_no_series(start_measured):
    script = start_measured(processes=1)
    hostile(script, 3000)
    check_series(script, 3000, most=10)
    assert len(script.metrics().samples) < 400


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (make clients)")
def test_promtool_finds_no_fault(start_measured):
    script = start_measured(processes=2)
    fetch(script.address, "/users/1")
    fetch(script.address, "/orders/book", "POST")
    wait_until(lambda: script.metrics().requests() == 2, "both are counted")
    text = script.ask("/metrics").body
    checked = run_process([PROMTOOL, "check", "metrics"], input=text, capture_output=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_what_is_refused_is_counted(start_measured):
    script = start_measured(processes=1, max_header_size=2048)
    answer = fetch(script.address, "/users/1", headers={"X": "y" * 4096})
    assert answer.status == 431
    wait_until(
        lambda: script.metrics().value("outside_refused_total", limit="max_header_size", status="431") == 1, "it is counted"
    )
    assert script.metrics().requests(http_response_status_code="431") == 1


def test_ended_workers_end(start_measured):
    script = start_measured(processes=2, status_page=True)
    workers = script.wait_for_workers(2)
    assert script.stop() == 0, script.errors
    for pid in workers.values():
        wait_for_end(pid)
