"""`max_connections_per_ip` over worker processes: connections from other addresses than those of this machine, in a network of
their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

import pytest

from support.harness import PROGRAMS, wait_until
from support.processes import stopped
from support.shared import SharedServer
from support.subprocesses import run_process, start_process

ONE, OTHER, SERVER = "198.51.100.1", "198.51.100.2", "198.51.100.9"


def can_have_a_network() -> bool:
    if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
        return False
    return run_process(["unshare", "--net", "true"], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux"),
    pytest.mark.skipif(not can_have_a_network(), reason="networks of one's own are not permitted here"),
]


class NetworkedServer(SharedServer):
    """A server in a network that has these addresses alone."""

    def __init__(self, folder, /, **settings) -> None:
        add = " && ".join(f"ip address add {address}/24 dev lo" for address in (ONE, OTHER, SERVER))
        self.launcher = ["unshare", "--net", "sh", "-c", f'ip link set lo up && {add} && exec "$@"', "sh", sys.executable]
        super().__init__(folder, address=SERVER, **settings)
        command = ["nsenter", f"--net=/proc/{self.process.pid}/ns/net", sys.executable, str(PROGRAMS / "address_client.py")]
        self.client = start_process(
            [*command, *map(str, self.address)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def tell(self, line: str) -> str:
        assert self.client.stdin and self.client.stdout
        self.client.stdin.write(line + "\n")
        return self.client.stdout.readline().strip()


@pytest.fixture
def networked(tmp_path):
    started = []

    def start(**settings) -> NetworkedServer:
        started.append(NetworkedServer(tmp_path, **settings))
        return started[-1]

    yield start
    for server in started:
        server.client.stdin.close()
        server.client.wait()
        if server.process.poll() is None:
            server.stop()


def test_an_address_has_so_many_connections_to_all_workers(networked):
    server = networked(processes=4, max_connections_per_ip=5)
    pids = [server.tell(f"open {ONE}") for _ in range(5)]
    assert "closed" not in pids
    assert [server.tell(f"open {ONE}") for _ in range(3)] == ["closed"] * 3
    assert server.tell(f"open {OTHER}") != "closed", "another address"
    server.tell("close 0")
    number = 9

    def is_served() -> bool:
        nonlocal number
        number += 1
        return server.tell(f"open {ONE}") != "closed"

    wait_until(is_served, "a place that was given back")
    assert server.tell(f"open {ONE}") == "closed"
    server.wait_for(f"{ONE} has as many connections as one address may have")
    assert server.stop() == 0


def test_a_worker_that_dies_gives_its_places_back(networked):
    server = networked(processes=2, max_connections_per_ip=4)
    pids = [server.tell(f"open {ONE}") for _ in range(4)]
    assert server.tell(f"open {ONE}") == "closed"
    os.kill(int(pids[0]), signal.SIGKILL)
    wait_until(lambda: server.tell(f"open {ONE}") != "closed", "the places of a worker that is gone")
    others = [server.tell(f"open {ONE}") for _ in range(4)]
    assert others.count("closed") == 4 - (pids.count(pids[0]) - 1)
    assert server.stop() == 0


def test_each_worker_decides_while_the_hub_is_away(networked):
    server = networked(processes=2, max_connections_per_ip=2)
    assert server.tell(f"open {ONE}") != "closed"
    os.kill(server.process.pid, signal.SIGSTOP)
    wait_until(lambda: stopped(server.process.pid), "the hub stands still")
    assert server.tell(f"open {OTHER}") != "closed", "after a second"
    os.kill(server.process.pid, signal.SIGCONT)
    assert server.tell(f"open {OTHER}") != "closed"
    assert server.tell(f"open {OTHER}") == "closed", "the one that had waited is counted too"
    assert server.stop() == 0
