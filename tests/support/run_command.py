"""`outside run`: a folder with a program, and the command in it."""

from __future__ import annotations

import http.client
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from support.harness import Script
from support.subprocesses import run_process
from support.wire import DEADLINE

OUTSIDE = [str(Path(sys.executable).with_name("outside"))]
APP = """\
from outside import OutsideHTTP

server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = "off"


def hello(request):
    return "one"


server.set_route("/hello", hello)


def make_server(name="made"):
    made = OutsideHTTP(("127.0.0.1", 0))
    made.set_route("/hello", lambda request: name)
    return made
"""


@pytest.fixture
def program_folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "shop/web").mkdir(parents=True)
    (tmp_path / "shop/__init__.py").touch()
    (tmp_path / "shop/web/__init__.py").touch()
    (tmp_path / "shop/prices.py").write_text("apple = 'two'\n")
    (tmp_path / "shop/web/site.py").write_text(
        "from ..prices import apple\n"
        + APP.replace('"one"', "apple").replace("server", "site")
        + "class Holder:\n    site = site\n"
    )
    return tmp_path


def call_outside(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Runs a command that ends by itself: exit status, standard output, standard error."""
    ended = run_process(
        [*OUTSIDE, *arguments], cwd=folder, capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, **environment}
    )
    return ended.returncode, ended.stdout, ended.stderr


def start_outside(folder: Path, *arguments: str, **environment: str) -> Script:
    return Script("run", *arguments, program=OUTSIDE, folder=folder, environment=environment)


class Reloading(Script):
    """`outside run --reload`, and the answers of its program."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__("run", *arguments, "--reload", program=OUTSIDE, folder=folder)
        self.token = self.read_line().rpartition("token=")[2].strip() if "--debug" in arguments else ""
        self.said = ""
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:  # type: ignore[union-attr]
            self.said += line.decode()

    def get(self, path: str = "/hello") -> tuple[int, str]:
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE)
        connection.request("GET", path, headers={"Cookie": f"outside-debug-{self.address[1]}={self.token}"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    def stop(self, signum: int = signal.SIGTERM) -> int:
        self.process.send_signal(signum)
        status = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return status
