"""A server of several processes, seen from outside; and checks under load while its processes come and go.

The functions with numbers as arguments are run short by `make test` and in full by `make soak`.
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from support.gauge import resident_memory
from support.harness import PROGRAMS, Script, wait_until
from support.subprocesses import run_process
from support.wire import DEADLINE, Incomplete, Wire, fetch, parse_answer, request_bytes

# A server of two worker processes, without a file.
WORKERS_PROGRAM = (
    "import sys\nfrom outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
    "import logging; logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
    "server.config.update(processes=2, access_log='off')\nserver.run()\n"
)

# The log and the URL on one stream; `/slow` is answered when there is a file called `go`. To be formatted.
SIGNALS_PROGRAM = """\
import logging, os, signal, sys, time
from outside import OutsideHTTP
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", termination_timeout=10, **dict({settings}))
server.set_route("/", lambda request: str(os.getpid()))
server.set_route("/end", lambda request: server.terminate())
def slow(request):
    print("begun", flush=True)
    while not os.path.exists("go"):
        time.sleep(0.01)
    return "done"
server.set_route("/slow", slow)
server.on_shutdown(lambda: print("shut down", flush=True))
{before}
if __name__ == "__main__":
    server.run()
    print("returned", flush=True)
"""


class Processes(Script):
    """`process_app.py` with these settings; `heard` is its output so far."""

    def __init__(self, folder: Path, /, **settings: object) -> None:
        self.heard: list[str] = []
        self.settings = folder / "settings.json"
        self.change(**settings)
        super().__init__(str(PROGRAMS / "process_app.py"), str(self.settings), environment=self.environment(folder))

    def environment(self, folder: Path) -> dict[str, str]:
        return {}

    def change(self, **settings: object) -> None:
        """The settings of the next generation."""
        self.settings.write_text(json.dumps(settings))

    def read_line(self) -> str:
        line = super().read_line()
        self.heard.append(line.rstrip("\n"))
        return line

    def wait_for(self, text: str) -> str:
        """Reads until a line contains this."""
        while text not in (line := self.read_line()):
            pass
        return line.rstrip("\n")

    def wait_for_all(self, *texts: str) -> None:
        """Each of these has been printed, in any order."""
        while not all(any(text in line for line in self.heard) for text in texts):
            self.read_line()

    @property
    def supervisor(self) -> int:
        """The process of the newest generation."""
        return int([line for line in self.heard if line.startswith("generation ")][-1].split()[1])

    def workers(self) -> dict[int, int]:
        """The newest process of each slot, as far as it was heard of."""
        found = re.findall(r"^worker (\d+) (\d+)$", "\n".join(self.heard), re.MULTILINE)
        return {int(slot): int(pid) for slot, pid in found}

    def send_signal(self, signum: int) -> None:
        os.kill(self.supervisor, signum)

    def reload(self) -> None:
        """Returns when the new generation serves."""
        self.send_signal(signal.SIGHUP)
        self.wait_for("outside is serving on ")

    def answering_worker(self) -> tuple[int, int]:
        """Process id and parent of the worker that answers a new connection."""
        pid, parent = fetch(self.address, "/worker").text.split()
        return int(pid), int(parent)

    def wait_for_workers(self, wanted: set[int]) -> None:
        """Each of these processes has answered."""
        left = set(wanted)
        wait_until(lambda: left.discard(self.answering_worker()[0]) or not left, f"all of {wanted} answer")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ends the newest generation; the exit status of the first one."""
        self.send_signal(signum)
        return self.wait()


class Watched(Processes):
    """Its service manager is a socket of the test."""

    def environment(self, folder: Path) -> dict[str, str]:
        name = f"outside-test-{os.getpid()}"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.settimeout(10)
        self.manager.bind("\0" + name)
        return {"NOTIFY_SOCKET": "@" + name}

    def told(self) -> list[str]:
        return self.manager.recv(4096).decode().split("\n")


class Contained(Processes):
    """In a container of which the program is process 1."""

    def __init__(self, folder: Path, inside: list[str]) -> None:
        executable, sys.executable = sys.executable, inside[0]
        self.inside = [*inside[1:], executable]
        try:
            self.heard = []
            self.settings = folder / "settings.json"
            self.change(drain_idle=0)
            program = str(PROGRAMS / "process_app.py")
            Script.__init__(self, *self.inside, program, str(self.settings))
        finally:
            sys.executable = executable

    def process_1(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text())

    def count_inside(self) -> int:
        def count(pid: int) -> int:
            try:
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            except OSError:
                return 0  # it has ended since
            return 1 + sum(count(int(child)) for child in children)

        return count(self.process_1())


@pytest.fixture
def start_processes(tmp_path):
    """Starts the application; its processes are killed at the end."""
    started = []

    def start(kind=Processes, /, **settings) -> Processes:
        started.append(kind(tmp_path, **settings))
        return started[-1]

    yield start
    for script in started:
        if script.process.poll() is None:
            script.process.kill()
        for line in script.heard:
            if line.startswith("generation ") and is_alive(int(line.split()[1])):
                os.kill(int(line.split()[1]), signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_for_end(pid: int) -> None:
    """The process has ended, any process's child."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([descriptor], [], [], 2 * DEADLINE)[0], f"process {pid} has not ended"
    finally:
        os.close(descriptor)


class Load:
    """Clients that ask without a pause until told to stop, and compare each answer with the expected one."""

    def __init__(self, address: tuple, persistent: int = 2, fresh: int = 1) -> None:
        self.address = address
        self.answers = 0
        self.faults: list[str] = []
        self._lock = threading.Lock()
        self._stopping = False
        clients = [self._ask_on_one] * persistent + [self._ask_on_new] * fresh
        self._threads = [threading.Thread(target=client, args=(n,), daemon=True) for n, client in enumerate(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping = True
        for thread in self._threads:
            thread.join(2 * DEADLINE)
            assert not thread.is_alive(), "a client hangs"

    def wait_for(self, more: int) -> None:
        """So many more answers have come; a thousand of them within a deadline."""
        enough = self.answers + more
        while self.answers < enough:
            step = min(self.answers + 1000, enough)
            wait_until(lambda step=step: self.answers >= step, f"{more} more answers")

    def _ask_on_one(self, client: int) -> None:
        """Keeps its connection until the server says close."""
        connection = None
        number = 0
        while not self._stopping:
            number += 1
            try:
                connection = connection or self._connect()
                if not self._ask(connection, f"{client}-{number}", {}):
                    connection.close()
                    connection = None
            except Exception as error:  # each one is a fault
                self._note(f"persistent client {client}, request {number}: {error!r}")
                connection = None
        if connection:
            connection.close()

    def _ask_on_new(self, client: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            try:
                with self._connect() as connection:
                    self._ask(connection, f"{client}-{number}", {"Connection": "close"})
            except Exception as error:  # each one is a fault
                self._note(f"fresh client {client}, request {number}: {error!r}")

    def _connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=DEADLINE)

    def _ask(self, connection: socket.socket, what: str, headers: dict[str, str]) -> bool:
        """One exchange; whether the connection may be used again."""
        connection.sendall(request_bytes(f"/echo?n={what}", headers=headers))
        data = b""
        while True:
            piece = connection.recv(65536)
            assert piece, f"ended after {data!r}"
            data += piece
            try:
                answer, rest = parse_answer(data)
                break
            except Incomplete:
                continue
        assert (answer.status, answer.text, rest) == (200, what, b""), data
        with self._lock:
            self.answers += 1
        return answer.header("Connection") != "close"

    def _note(self, fault: str) -> None:
        with self._lock:
            self.faults.append(fault)


def reload_under_load(folder: Path, reloads: int, least: int) -> int:
    """So many reloads, each after its share of `least` requests; no client is refused, reset or answered wrongly."""
    script = Processes(folder)
    try:
        load = Load(script.address, persistent=4, fresh=2)
        generations = {script.supervisor}
        for _ in range(reloads):
            load.wait_for(least // (reloads + 1))
            script.reload()
            generations.add(script.supervisor)
        load.wait_for(least // (reloads + 1))
        load.stop()
        assert load.faults == [], f"{len(load.faults)} of {load.answers}: {load.faults[:5]}"
        assert len(generations) == reloads + 1
        for old in generations - {script.supervisor, script.process.pid}:
            wait_for_end(old)
        assert script.process.poll() is None
    finally:
        status = script.stop()
    assert status == 0, script.errors
    return load.answers


def recycle_under_load(folder: Path, processes: int, most: int, least: int) -> int:
    """Workers that are replaced after so many requests each, under load: no client is refused, reset or answered wrongly. The number of
    workers that there were."""
    script = Processes(folder, processes=processes, max_requests=most, max_requests_jitter=most // 10)
    output = threading.Thread(target=lambda: [None for _ in iter(lambda: _line_or_none(script), None)], daemon=True)
    try:
        load = Load(script.address, persistent=4, fresh=2)
        output.start()  # a full pipe would stop the server
        load.wait_for(least)
        load.stop()
        assert load.faults == [], f"{len(load.faults)} of {load.answers}: {load.faults[:5]}"
    finally:
        script.process.send_signal(signal.SIGTERM)
        output.join(2 * DEADLINE)
        status = script.wait()
    assert status == 0, script.errors
    return sum(line.startswith("worker ") for line in script.heard)


def _line_or_none(script: Processes) -> str | None:
    try:
        return script.read_line()
    except AssertionError:
        return None  # its end


def kill_under_load(folder: Path, kills: int, pause: float) -> dict[str, object]:
    """Kills a worker again and again: only its own requests fail, and nothing grows."""
    script = Processes(folder)
    persistent, fresh = 4, 2
    try:
        load = Load(script.address, persistent, fresh)
        load.wait_for(1000)
        before = _belongings(script)
        for number in range(kills):
            end = time.monotonic() + pause
            script_slot = number % 2
            os.kill(script.workers()[script_slot], signal.SIGKILL)
            script.wait_for(f"worker {script_slot} ")  # that it was killed
            while f"worker {script_slot} " not in (line := script.read_line()) or "killed" in line:
                pass
            load.wait_for(100)
            wait_until(lambda end=end: time.monotonic() >= end, "the pause is over")
        load.wait_for(1000)
        load.stop()
        after = _belongings(script)
    finally:
        status = script.stop()
    assert status == 0, script.errors
    # Each kill costs at most the request that each client had in flight at that moment.
    assert len(load.faults) <= kills * (persistent + fresh), load.faults[:5]
    wrong = [fault for fault in load.faults if not re.search(r"ConnectionReset|BrokenPipe|ended after b''", fault)]
    assert wrong == []
    return {"answers": load.answers, "failed": len(load.faults), "before": before, "after": after}


def _belongings(script: Processes) -> dict[str, list[int]]:
    """Memory, threads and descriptors of the supervisor and each worker."""
    pids = [script.supervisor, *(script.workers()[slot] for slot in sorted(script.workers()))]
    return {
        "memory": [resident_memory(pid) for pid in pids],
        "threads": [len(os.listdir(f"/proc/{pid}/task")) for pid in pids],
        "descriptors": [_steady_descriptors(pid) for pid in pids],
    }


def _steady_descriptors(pid: int) -> int:
    """Without sockets: those of clients come and go."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            count += not os.readlink(f"/proc/{pid}/fd/{name}").startswith("socket:")
        except FileNotFoundError:
            pass  # it has gone since
    return count


def stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def refused(address: tuple) -> bool:
    try:
        Wire(address, deadline=1).close()
    except OSError:
        return True
    return False


def start_contained(folder: Path) -> Contained:
    """The application as process 1 of a container; the test is skipped where none can be made."""
    inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if run_process([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare and the right to use it")
    return Contained(folder, inside)
