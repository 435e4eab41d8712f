"""Programs that tests of reloads and signals start, and the settings of a service manager and a container around them."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from support.harness import PROGRAMS, Script
from support.processes import Processes

# The log and the URL on one stream; `/slow` is answered when there is a file called `go`.
PROGRAM = """\
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
# Two processes; on the command line (`-c`), the program stands in no file.
WITHOUT_FILE = (
    "import sys\nfrom outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n"
    "import logging; logging.basicConfig(stream=sys.stdout, format='%(message)s')\n"
    "server.config.update(processes=2, access_log='off')\nserver.run()\n"
)


class Watched(Processes):
    """Tells a socket of ours how things stand."""

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
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return 1 + sum(count(int(child)) for child in children)

        return count(self.process_1())
