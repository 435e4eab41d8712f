"""Worker processes that have had many requests, or have grown, are replaced, the new one first, one at a time, and no request is lost."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.gauge import need_proc
from support.harness import Script
from support.processes import recycle_under_load
from support.wire import Wire, fetch, request_bytes

# MiB: more than a worker has at its start, less than one that has grown by a hundred.
MOST = 110

PROGRAM = """\
import os, sys
from outside import OutsideHTTP
import logging; logging.basicConfig(stream=sys.stdout, format="%(message)s", level="INFO")
logging.getLogger("outside.access").setLevel("WARNING")
server = OutsideHTTP(("127.0.0.1", 0))
kept = []
server.config.update(max_worker_memory_mb=float(sys.argv[1]), processes=int(sys.argv[2]), access_log="off",
                     on_worker_start=lambda slot: print(f"worker {slot} {os.getpid()}\\n", end="", flush=True))
server.set_route("/grow", lambda request: kept.append(b"x" * (100 << 20)) or str(os.getpid()))
server.set_route("/", lambda request: str(os.getpid()))
server.run()
"""


@pytest.mark.parametrize("processes", [1, 4])
def test_no_request_is_lost_while_workers_are_replaced(tmp_path: Path, processes: int):
    assert recycle_under_load(tmp_path, processes, most=300, least=4000) > processes + 3


def start(folder: Path, most: float, processes: int) -> tuple[Script, list[str]]:
    need_proc()
    (folder / "program.py").write_text(PROGRAM)
    script = Script("program.py", str(most), str(processes), folder=folder)
    return script, re.findall(r"worker \d (\d+)", script.before_url)


def wait_for(script: Script, *texts: str) -> list[str]:
    found: list[str] = []
    while not all(any(text in line for line in found) for text in texts):
        found.append(script.read_line())
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_a_worker_that_has_grown_is_replaced(tmp_path: Path, processes: int):
    script, before = start(tmp_path, MOST, processes)
    assert len(before) == processes
    lost = 0
    with Wire(script.address) as wire:
        grown = wire.send(request_bytes("/grow")).receive_answer().text
        said = wait_for(script, "has more memory than max_worker_memory_mb; another one takes its place", "worker ")
        assert re.search(rf"worker \d \(process {grown}\) has more memory", "\n".join(said))
        # The old one goes on with what it has until the new one serves.
        while fetch(script.address).text == grown:
            pass
        lost += wire.send_if_possible(request_bytes("/")) is None
    assert not lost
    assert script.stop() == 0
    assert "killed" not in script.output


def test_workers_that_have_grown_are_replaced_one_after_another(tmp_path: Path):
    script, _ = start(tmp_path, MOST, 3)
    grown: set[str] = set()
    wires = []
    while len(grown) < 3:
        wire = Wire(script.address)
        wires.append(wire)
        pid = wire.send(request_bytes("/")).receive_answer().text
        if pid not in grown:
            grown.add(wire.send(request_bytes("/grow")).receive_answer().text)
    events: list[str] = []
    while sum("worker " in line and "process" not in line for line in events) < 3:
        events.append(script.read_line())
    for wire in wires:
        wire.close()
    # Between two of them the successor of the first one has started.
    kinds = [
        "replaced" if "another one takes its place" in line else "started" for line in events if line.startswith("worker ")
    ]
    assert kinds == ["replaced", "started"] * 3, events
    assert script.stop() == 0


def test_a_bound_below_the_memory_at_the_start_has_no_effect(tmp_path: Path):
    script, _ = start(tmp_path, 1, 1)
    pid = fetch(script.address).text
    assert fetch(script.address, "/grow").text == pid
    assert fetch(script.address).text == pid
    assert script.stop() == 0
    assert 'config["max_worker_memory_mb"] is 1, but this process has' in script.before_url + script.output
    assert "takes its place" not in script.output
