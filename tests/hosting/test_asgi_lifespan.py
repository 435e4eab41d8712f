"""Lifespans: one for each application, on the main thread, before the first request and after the last."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

import pytest

from outside import OutsideHTTP, asgi
from support.harness import Records, Running, Script
from support.subprocesses import run_process
from support.wire import Wire, fetch

PROGRAM = """\
import asyncio, logging, os, signal, sys, threading, time
from outside import OutsideHTTP, asgi
logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s")

def say(*words):
    os.write(1, (" ".join(map(str, words)) + chr(10)).encode())

def application(name, started=lambda: None):
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            scope["state"]["name"] = name
            while True:
                kind = (await receive())["type"]
                if kind == "lifespan.startup":
                    say(name, "starts", threading.current_thread() is threading.main_thread(), os.getpid())
                    started()
                else:
                    say(name, "ends")
                await send({"type": kind + ".complete"})
                if kind == "lifespan.shutdown":
                    return
        await receive()
        headers = []
        if scope["path"].endswith("/events"):
            headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["path"].endswith("/events"):
            await send({"type": "http.response.body", "body": b"data: 1\\n\\n", "more_body": True})
            say("event stream:", (await receive())["type"])
            return
        if scope["path"].endswith("/blocks"):
            print("blocks", flush=True)
            BLOCK()
        await send({"type": "http.response.body", "body": f"{scope['state']['name']} {os.getpid()}".encode()})
        if scope["path"].endswith("/behind"):
            await asyncio.sleep(0.3)
            print("background work is done", flush=True)
    return app

server = OutsideHTTP(("127.0.0.1", 0))
server.config.update(access_log="off", termination_timeout=6)
"""


@pytest.fixture
def program(tmp_path: Path):
    """Starts a program with these further lines."""
    scripts: list[Script] = []

    def begin(lines: str) -> Script:
        (tmp_path / "program.py").write_text(PROGRAM + lines + "\nserver.run()\n")
        scripts.append(Script("program.py", folder=tmp_path))
        return scripts[-1]

    yield begin
    for script in scripts:
        if script.process.poll() is None:
            script.stop()


TWO = 'server.mount("/one", application("one"))\nserver.mount("/two", application("two"))\n'


def test_each_application_has_its_own(program):
    script = program(TWO)
    assert [fetch(script.address, path).body.split()[0] for path in ("/one/", "/two/")] == [b"one", b"two"]
    assert script.stop() == 0
    assert "one starts True" in script.before_url and "two starts True" in script.before_url
    assert script.output.splitlines() == ["two ends", "one ends"]


def test_each_worker_process_has_its_own(program):
    script = program(TWO + "server.config['processes'] = 2\n")
    pid = fetch(script.address, "/one/").body.split()[1].decode()
    script.stop()
    text = script.before_url + script.output
    assert f"one starts True {pid}" in text and text.count("two ends") == 2


FAILS = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})
server.mount("/", app)
"""


@pytest.mark.parametrize("processes", [1, 2])
def test_an_application_that_cannot_start(tmp_path, processes):
    (tmp_path / "program.py").write_text(f"{PROGRAM}{FAILS}\nserver.config['processes'] = {processes}\nserver.run()\n")
    ran = run_process([sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 3, ran
    assert "no database" in ran.stdout + ran.stderr


def test_an_application_without_lifespan_is_served(records: Records):
    async def app(scope, receive, send):
        assert scope["type"] == "http"
        assert "state" in scope
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    server = OutsideHTTP(("127.0.0.1", 0))
    server.set_route("/", asgi(app))
    running = Running(server)
    assert running.fetch().status == 204
    running.stop()


def test_event_streams_and_background_work_end_before_the_lifespan(program):
    script = program('server.set_route("/", asgi(application("app")))\n')
    with Wire(script.address) as events:
        events.send(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
        while b"data: 1" not in events.received:
            events.receive_some()
        assert fetch(script.address, "/behind").status == 200
        began = time.monotonic()
        script.process.terminate()
        assert events.receive_rest().endswith(b"0\r\n\r\n")
    assert script.wait() == 0
    assert time.monotonic() - began < 6
    lines = script.output.splitlines()
    assert lines.index("event stream: http.disconnect") < lines.index("app ends")
    assert lines.index("background work is done") < lines.index("app ends")


def test_sigterm_is_heard_while_the_loop_is_blocked(program):
    """Idle connections are closed although a call keeps the main thread in C for seconds: long before the answer of that call."""
    # A sleep would end by the signal.
    blocks = "BLOCK = lambda: sum(range(200_000_000))\n"
    script = program(blocks + 'server.set_route("/", asgi(application("app")))\n')
    # The thread that hears of signals has work in Python when the server has begun; a call that blocks would keep it from that.
    for _ in range(100):
        assert fetch(script.address, "/").status == 200
    with Wire(script.address) as idle, Wire(script.address) as wire:
        idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert idle.receive_answer().status == 200
        wire.send(b"GET /blocks HTTP/1.1\r\nHost: a\r\n\r\n")
        while "blocks" not in script.read_line():
            pass
        script.process.terminate()
        idle.receive_end()
        assert not select.select([wire.socket], [], [], 0)[0], "the call had ended before"
    assert script.wait() == 0
    assert "app ends" in script.output


def test_signal_handlers_of_a_lifespan(program):
    started = """
def started():
    signal.signal(signal.SIGUSR1, lambda *_: print("by signal", flush=True))
    asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, lambda: print("by the loop", flush=True))
server.set_route("/", asgi(application("app", started)))
"""
    script = program(started)
    script.process.send_signal(10)
    assert script.read_line() == "by signal\n"
    script.process.send_signal(28)
    assert script.read_line() == "by the loop\n"
    assert script.stop() == 0
