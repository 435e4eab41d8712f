"""The numbers of a server in full: Debian's Prometheus scrapes it for a minute while its workers are killed, and finds that no counter was
ever reset; a hundred thousand mixed requests; a million hostile ones; the times of scrapes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from support.gauge import MIB, resident_memory
from support.harness import wait_until
from support.metrics import DURATION, Measured
from support.metrics_load import check_counts, check_series, hostile, mixed
from support.subprocesses import start_process
from support.wire import Incomplete, fetch

PROMETHEUS = shutil.which("prometheus")
SECONDS = 60
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(port: int, path: str) -> object:
    """The data of an answer; a question that Prometheus refuses is an error."""
    with _opener.open(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
        return json.load(answer)["data"]


def query(port: int, text: str) -> list[dict]:
    return ask(port, f"query?query={urllib.parse.quote(text)}")["result"]  # type: ignore[index]


def is_up(port: int) -> bool:
    try:
        return bool(query(port, "up == 1"))
    except OSError:
        return False  # it has yet to start


@pytest.mark.skipif(PROMETHEUS is None, reason="Prometheus is not installed (make clients)")
def test_prometheus_finds_no_reset(tmp_path):
    folder = tmp_path / "server"
    folder.mkdir()
    script = Measured(folder, processes=2, status_page=True, metrics=["127.0.0.1", 0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "prometheus.yml"
    target = script.place.removeprefix("http://")
    config.write_text(
        "scrape_configs:\n- job_name: outside\n  scrape_interval: 1s\n  scrape_timeout: 1s\n"
        f"  static_configs:\n  - targets: ['{target}']\n"
    )
    arguments = [PROMETHEUS, f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    arguments.append(f"--web.listen-address=127.0.0.1:{port}")
    prometheus = start_process(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            try:
                fetch(script.address, "/users/1")
            except (OSError, AssertionError, Incomplete):
                pass  # its worker was killed

    client = threading.Thread(target=load)
    client.start()
    try:
        wait_until(lambda: is_up(port), "Prometheus scrapes")
        end, kills = time.monotonic() + SECONDS, 0
        while time.monotonic() < end:
            workers = script.wait_for_workers(2)
            os.kill(workers[kills % 2], signal.SIGKILL)
            kills += 1
            script.wait_for_line("is replaced")
            if kills % 10 == 0:
                script.process.send_signal(signal.SIGHUP)
                script.wait_for_line("tells its metrics")
            done.wait(1)
        counted = query(port, 'sum(http_server_request_duration_seconds_count{http_route="/users/{number:int}"})')
        assert float(counted[0]["value"][1]) > 100
        # One name at a time: without their names, series of several have the same labels.
        names = [name for name in ask(port, "label/__name__/values") if re.search("_(total|sum|count|bucket)$", name)]
        own = [name for name in names if name.startswith(("outside_", "http_server_", "process_", "orders_", "imports_"))]
        series = {name: query(port, f"count({name})") for name in own}
        assert {"outside_worker_ends_total", f"{DURATION}_bucket", "process_cpu_seconds_total", "imports_total"} <= set(series)
        assert all(found and int(found[0]["value"][1]) > 0 for found in series.values()), series
        for name in own:
            assert query(port, f"resets({name}[{2 * SECONDS}s]) > 0") == [], name
        assert query(port, f"min_over_time(up[{SECONDS // 2}s]) < 1") == []
        ended = query(port, 'outside_worker_ends_total{how="signal"}')
        assert int(ended[0]["value"][1]) >= kills - 1 > 10
        count = sum(int(found[0]["value"][1]) for found in series.values())
        print(f"{kills} kills, {len(own)} names, {count} series, {counted[0]['value'][1]} requests: no counter was reset")
    finally:
        done.set()
        client.join()
        prometheus.kill()
        prometheus.wait()
        script.end()


@pytest.fixture
def start_measured(tmp_path):
    started = []

    def start(**settings: object) -> Measured:
        started.append(Measured(tmp_path, **settings))
        return started[-1]

    yield start
    for script in started:
        script.end()


def test_a_hundred_thousand_mixed_requests(start_measured):
    script = start_measured(processes=4)
    wanted = mixed(script, clients=8, each=12_500)
    assert wanted.total() == 100_000
    check_counts(script, wanted, times=40)
    print(f"{wanted.total()} requests, equal to the clients' in 40 answers")


def test_a_million_hostile_requests(start_measured):
    script = start_measured(processes=1, status_page=True)
    memory: list[tuple[int, int]] = []

    def note(number: int) -> None:
        if number % 100_000 == 0:
            memory.append((number, resident_memory(script.process.pid)))

    hostile(script, 1_000_000, note)
    series = check_series(script, 1_000_000)
    script.status()
    print(f"{series} series of the histogram, {len(script.metrics().samples)} samples")
    print("memory by requests: " + ", ".join(f"{number}: {size / MIB:.1f} MiB" for number, size in memory))
    assert memory[-1][1] - memory[1][1] < 4 * MIB
