"""Requests of other clients while an authority has each of its eighteen faults: as fast as without.

The client is a process of its own, and the authority has the lowest priority: in the world it has a machine of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.authority import Authority, needs_pebble, wait_for_certificate
from support.authority_faults import FAULTS, NAME
from support.mean_authority import MeanAuthority
from support.subprocesses import start_process

pytestmark = needs_pebble

# Seconds of each of the periods with and without the fault, which take turns, and the number of pairs of them.
PERIOD, PAIRS = 2.0, 4
# Makes requests one after another for a period, from the moment at which the server answers, and prints how long each took.
CLIENT = """\
import json, sys, time
from support.wire import fetch

port, name, period = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
found, end = [], None
while end is None or time.monotonic() < end:
    begun = time.monotonic()
    try:
        status = fetch(("127.0.0.1", port), "/", headers={"Host": name}).status
    except ConnectionRefusedError:
        assert end is None, "the server answers no more"
        continue
    assert status == 301, status
    found.append(time.monotonic() - begun)
    end = end or begun + period
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"), reuse=0)
    for process in authority.processes:
        for thread in os.listdir(f"/proc/{process.pid}/task"):
            os.setpriority(os.PRIO_PROCESS, int(thread), 19)
    yield authority
    authority.stop()


@contextmanager
def client(port: int, name: str) -> Iterator[list[float]]:
    """The durations of the requests of one period, which begins when the server that is started meanwhile answers."""
    found: list[float] = []
    tests = str(Path(__file__).parent.parent / "tests")
    process = start_process(
        [sys.executable, "-c", CLIENT, str(port), name, str(PERIOD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": tests},
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("go\n")
    process.stdin.flush()
    yield found
    found += json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 0


def p99(found: list[float]) -> float:
    return sorted(found)[len(found) * 99 // 100]


def make_last() -> None:
    """This thread, and those that it starts, have the lowest priority."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


@pytest.mark.timed
@pytest.mark.parametrize("fault", FAULTS)
def test_certificates_with_a_fault_of_the_authority(authority, serve, tmp_path, records, fault):
    """A server that keeps its certificate beside one whose authority has the fault and that tries again as soon as it has failed."""
    inject, said = FAULTS[fault]
    mean = MeanAuthority(authority, make_last)
    storage = tmp_path / "storage"
    without, during = [], []
    try:
        first = serve(lambda request: "hello", **mean.config(tmp_path / "kept", NAME))
        wait_for_certificate(authority.tls_port, authority.trusting(), NAME)
        first.stop()
        for number in range(PAIRS):
            mean.be_kind()
            with client(authority.http_port, NAME) as found:
                quiet = serve(lambda request: "hello", **mean.config(tmp_path / "kept", NAME))
            without += found
            quiet.stop()
            settings = mean.config(storage / str(number), NAME)
            mean.be_kind()
            records.records.clear()
            settings = {**settings, **inject(mean, tmp_path / f"fault{number}")}
            with client(authority.http_port, NAME) as found:
                running = serve(lambda request: "hello", **settings)
            during += found
            if said:
                records.wait_for(said)
            asked = len(mean.asked)
            mean.silence.set()
            running.stop()
            mean.silence.clear()
            authority.set_dns("clear-a", host=f"{NAME}.")
    finally:
        mean.stop()
    before, after = p99(without), p99(during)
    print(
        f"{fault}: p99 {before * 1000:.2f} ms without, {after * 1000:.2f} ms with, {len(during)} requests; {asked} asked of the CA"
    )
    assert after <= 1.5 * before
    # One attempt at most: the schedule waits a minute after a failure.
    assert asked <= 60
