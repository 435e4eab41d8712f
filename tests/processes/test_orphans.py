"""Process 1 of a container: takes the exit statuses of processes that are left to it, and leaves those of the program's own alone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from support.harness import Script, wait_until
from support.subprocesses import run_process
from support.wire import Wire, fetch, request_bytes

PROGRAM = """\
import os, subprocess, sys, time
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(processes=int(sys.argv[1]), access_log="off", max_workers=8)
before = subprocess.Popen(["sh", "-c", "sleep 0.5; exit 7"])
own = []
def leave(request):
    # The shell ends at once, and what it has started is nobody's any more.
    return subprocess.run(["sh", "-c", "sleep 0.3 >/dev/null 2>&1 & sleep 0.3 >/dev/null 2>&1 & echo left"], capture_output=True,
                          text=True).stdout
def start(request):
    own.append(subprocess.Popen(["sh", "-c", "exit 9"]))
    return str(os.getpid())
server.set_route("/leave", leave)
server.set_route("/start", start)
server.set_route("/own", lambda request: str(own[0].wait()))
server.set_route("/slow", lambda request: time.sleep(1) or "slow")
server.config["server_cleanup"] = lambda: print("before", before.wait(), flush=True)
server.run()
"""


def start(folder: Path, processes: int) -> tuple[Script, int]:
    """The server as process 1, and its number outside."""
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if run_process([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare and the right to use it")
    (folder / "program.py").write_text(PROGRAM)
    script = Script("program.py", str(processes), program=[*inside, sys.executable], folder=folder)
    return script, int(Path(f"/proc/{script.process.pid}/task/{script.process.pid}/children").read_text())


def zombies(pid: int) -> list[str]:
    """The children of this process that have ended and whose status was not taken, by their commands."""
    found = []
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            try:
                name, _, state = Path(f"/proc/{child}/stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            if state.split()[0] == "Z":
                found.append(name)
    return found


@pytest.mark.parametrize("processes", [1, 2])
def test_it_reaps_drains_and_ends(tmp_path: Path, processes: int):
    script, first = start(tmp_path, processes)
    try:
        assert [fetch(script.address, "/leave").text for _ in range(3)] == ["left\n"] * 3
        pid = fetch(script.address, "/start").text
        assert (pid == "1") == (processes == 1)
        # The shells are waited for, the child of the program is its own.
        wait_until(lambda: "sleep" in zombies(first) or processes == 2, "they have ended")
        wait_until(lambda: "sleep" not in zombies(first), "they were waited for")
        with Wire(script.address) as wire:
            if processes == 1:
                assert fetch(script.address, "/own").text == "9"
            wire.send(request_bytes("/slow"))
            os.kill(first, signal.SIGTERM)
            assert wire.receive_answer().text == "slow"
        assert script.wait() == 0, script.errors
        # What the program has started before the server is its own too.
        assert "before 7" in script.output
    finally:
        script.process.kill()
