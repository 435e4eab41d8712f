"""Debian's Prometheus scrapes a server for a minute while its workers are killed, and finds that no counter was ever reset."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import pytest

from support.harness import wait_until
from support.metrics import Measured
from support.subprocesses import start_process
from support.wire import Incomplete, fetch

PROMETHEUS = shutil.which("prometheus")
SECONDS = 60
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def query(port: int, text: str) -> list[dict]:
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.parse.quote(text)}"
    try:
        with _opener.open(url, timeout=10) as answer:
            return json.load(answer)["data"]["result"]
    except OSError:
        return []


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

    def ask() -> None:
        while not done.is_set():
            try:
                fetch(script.address, "/users/1")
            except (OSError, AssertionError, Incomplete):
                pass  # its worker was killed

    client = threading.Thread(target=ask)
    client.start()
    try:
        wait_until(lambda: query(port, "up == 1"), "Prometheus scrapes")
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
        names = '{__name__=~".+_(total|count|bucket)", job="outside"}'
        assert query(port, f"resets({names}[{2 * SECONDS}s]) > 0") == []
        assert query(port, f"min_over_time(up[{SECONDS // 2}s]) < 1") == []
        assert kills > 10
    finally:
        done.set()
        client.join()
        prometheus.kill()
        prometheus.wait()
        script.end()
