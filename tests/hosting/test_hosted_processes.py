"""Hosted applications in processes that come and go: recycled, killed, reloaded, ended."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from support.gauge import cpu_seconds
from support.harness import Script, wait_until
from support.hosted_load import Load
from support.run_command import call_outside, start_outside
from support.wire import Wire, fetch, request_bytes

APP = """\
import os, re, threading, time

IMPORTED = os.getpid()


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/search":
        re.match("(a+)+$", "a" * 24 + "b")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(IMPORTED == os.getpid() if path == "/imported" else os.getpid()).encode()]


started = os.environ.get("THREAD") and threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""

FLASK = """\
import os
from flask import Flask

app = Flask(__name__)
app.get("/")(lambda: f"{os.getpid()}")
"""

FASTAPI = """\
import asyncio, os
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/")
async def hello():
    await asyncio.sleep(0.001)
    return PlainTextResponse(f"{os.getpid()}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("main", APP), ("of_flask", FLASK), ("of_fastapi", FASTAPI)):
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> Script:
    return start_outside(folder, *arguments, "--port", "0", "--log", "off", **environment)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_workers_are_recycled_after_so_many_requests_and_nothing_is_lost(folder: Path, workers: str):
    script = start(folder, "main:app", "-w", workers, "--max-requests", "40", "--max-requests-jitter", "5")
    loads = [Load(script.address), Load(script.address, fresh=True, clients=2)]
    for load in loads:
        load.wait_for_kinds(4)
    for load in loads:
        load.stop()
    assert script.stop() == 0
    assert "is killed" not in script.errors


def test_zero_requests_are_no_bound(folder: Path):
    script = start(folder, "main:app", "--max-requests", "0")
    assert fetch(script.address).text == str(script.process.pid)
    assert script.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "own"),
    [
        (["-w", "2"], "False"),
        (["-w", "2", "--no-preload"], "True"),
        (["-w", "2", "--preload"], "False"),
        (["--no-preload"], "True"),
    ],
)
def test_each_worker_imports_the_application_if_asked_to(folder: Path, arguments: list[str], own: str):
    script = start(folder, "main:app", *arguments)
    assert {fetch(script.address, "/imported").text for _ in range(10)} == {own}
    assert script.stop() == 0


def test_an_application_that_starts_threads_needs_no_preload(folder: Path):
    script = start(folder, "main:app", "-w", "2", "--no-preload", THREAD="1")
    assert fetch(script.address, "/imported").text == "True"
    assert script.stop() == 0


@pytest.mark.parametrize("target", ["missing:app", "native:server"])
def test_an_application_that_no_worker_can_import(folder: Path, target: str):
    (folder / "native.py").write_text("from outside import OutsideHTTP\nserver = OutsideHTTP(('127.0.0.1', 0))\n")
    status, _, errors = call_outside(folder, "run", target, "-w", "2", "--no-preload", "--port", "0")
    assert status == 3, errors
    assert "no worker can start" in errors
    assert ("missing" if target.startswith("missing") else "--no-preload is for hosted applications") in errors


@pytest.mark.parametrize("name", ["of_flask", "of_fastapi"])
def test_a_killed_worker_loses_its_own_requests_alone(folder: Path, name: str):
    pytest.importorskip(name.removeprefix("of_"))
    script = start(folder, f"{name}:app", "-w", "2")
    pid = int(fetch(script.address).text)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _answers_by(script, pid))
    seen: set[str] = set()
    wait_until(lambda: seen.add(fetch(script.address).text) or len(seen) == 2)
    assert str(pid) not in seen
    assert script.stop() == 0


def _answers_by(script: Script, pid: int) -> bool:
    # A request that the killed worker had accepted may be cut.
    try:
        return fetch(script.address).text == str(pid)
    except (OSError, AssertionError):
        return True


@pytest.mark.parametrize("name", ["of_flask", "of_fastapi"])
def test_a_reload_during_load_loses_nothing(folder: Path, name: str):
    pytest.importorskip(name.removeprefix("of_"))
    script = start(folder, f"{name}:app")
    loads = [Load(script.address, clients=2), Load(script.address, clients=1, fresh=True)]
    script.process.send_signal(signal.SIGHUP)
    for load in loads:
        load.wait_for_kinds(2)
    for load in loads:
        load.stop()
    assert script.stop() == 0


READY = """\
import os, sys
from outside import OutsideHTTP
server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", health_route="/up", drain_delay=float(sys.argv[1]), processes=int(sys.argv[2]))
server.mount("/", lambda environ, start_response: start_response("200 OK", []) and [b"served"])
server.run()
"""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_everything_is_served_while_health_checks_say_that_the_server_ends(tmp_path: Path, processes: str):
    (tmp_path / "program.py").write_text(READY)
    script = Script("program.py", "60", processes, folder=tmp_path)
    assert fetch(script.address, "/up").status == 200
    with Wire(script.address) as before:
        assert before.send(request_bytes("/")).receive_answer().text == "served"
        script.process.send_signal(signal.SIGTERM)
        wait_until(lambda: fetch(script.address, "/up").status == 503)
        for _ in range(3):
            answer = before.send(request_bytes("/")).receive_answer()
            assert (answer.text, answer.header("connection")) == ("served", None)
            assert fetch(script.address).text == "served"
        assert script.process.poll() is None
        # A second signal does not wait for the rest of the time.
        script.process.send_signal(signal.SIGTERM)
        assert script.wait() == 0


def test_the_end_comes_by_itself_after_the_delay(tmp_path: Path):
    (tmp_path / "program.py").write_text(READY)
    script = Script("program.py", "0.5", "1", folder=tmp_path)
    began = time.monotonic()
    assert script.stop() == 0
    assert time.monotonic() - began >= 0.5


@pytest.mark.timed
def test_sigterm_is_heard_while_a_view_keeps_the_lock_of_python(folder: Path):
    """A search for a pattern holds it for seconds; idle connections are closed before that ends."""
    script = start(folder, "main:app")
    with Wire(script.address) as idle, Wire(script.address) as wire:
        assert idle.send(request_bytes("/")).receive_answer().status == 200
        before = cpu_seconds(script.process.pid)
        wire.send(request_bytes("/search"))
        wait_until(lambda: cpu_seconds(script.process.pid) - before > 0.2, "the search runs")
        script.process.terminate()
        began = time.monotonic()
        idle.receive_end()
        heard = time.monotonic() - began
        assert wire.receive_answer().status == 200
        assert heard < (time.monotonic() - began) / 2
    assert script.wait() == 0


CLEAN = """\
import asyncio
from outside import OutsideHTTP


def application(environ, start_response):
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/write":
        write(b"written ")
    return environ["wsgi.file_wrapper"](open(__file__, "rb")) if environ["PATH_INFO"] == "/file" else iter([b"w", b"sgi"])


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"as", "more_body": True})
    await asyncio.sleep(0.001)
    await send({"type": "http.response.body", "body": b"gi"})


server = OutsideHTTP(("127.0.0.1", 0))
server.config["access_log"] = "off"
server.mount("/wsgi", application)
server.mount("/asgi", app)
if __name__ == "__main__":
    server.run()
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_no_warning_in_development_mode(tmp_path: Path, loop: str):
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    hidden = "import sys\nsys.modules['uvloop'] = None\n" if loop == "asyncio" else ""
    (tmp_path / "program.py").write_text(hidden + CLEAN)
    script = Script("-W", "error", "-X", "dev", "program.py", folder=tmp_path, program=[sys.executable])
    for _ in range(3):
        assert fetch(script.address, "/wsgi").text == "wsgi"
        assert fetch(script.address, "/wsgi/write").text == "written wsgi"
        assert fetch(script.address, "/wsgi/file").text == hidden + CLEAN
        assert fetch(script.address, "/asgi").text == "asgi"
    with Wire(script.address) as leaves:
        leaves.send(request_bytes("/asgi"))
    assert script.stop() == 0
    assert not any(word in script.errors for word in ("Warning", "ignored", "Traceback")), script.errors
